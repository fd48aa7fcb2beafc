"""What the centre knows at this moment: records of Postgres and the fleet of the streams, joined. Pure."""
