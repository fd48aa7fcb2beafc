from controlplane.app import main

main()
