"""What a hostile agent may try, as a table: none of it may change or hear anything of another's.

In every text `{own}`, `{victim}`, `{prefix}`, `{centre}` and the streams are filled in.
"""

from tests.integration.attacker import Attack, listening, raw, saying

UNREADABLE = b"NATS/1.0 \xff\xfe\xfd\r\nname: value\r\n\r\n"

_PUBLISH = {
    "a report as another": saying("{prefix}.state.{victim}.facts", b"forged"),
    "usage as another": saying("{prefix}.usage.{victim}.1-0", b"forged"),
    "an alert as another": saying("{prefix}.alert.{victim}", b"forged"),
    "a meter record as another": saying("{prefix}.meter.{victim}", b"forged"),
    "a beat as another": saying("{prefix}.beat.{victim}", b"forged"),
    "an order to another": saying("{prefix}.order.{victim}.w", b"forged"),
    "an order to itself": saying("{prefix}.order.{own}.w", b"forged"),
    "a report under a wildcard": saying("{prefix}.state.*.facts", b"forged"),
    "a report under everything": saying("{prefix}.state.>", b"forged"),
    "the victim behind the own id": saying("{prefix}.state.{own}.{victim}.facts", b"forged"),
    "an alert with one token more": saying("{prefix}.alert.{own}.{victim}", b"forged"),
}

_REPLY = {
    f"the answer {what}": saying("{prefix}.state.{own}.facts", b"mine", reply=reply)
    for what, reply in {
        "goes to the victim's facts": "{prefix}.state.{victim}.facts",
        "goes to the victim's order": "{prefix}.order.{victim}.w",
        "goes to the victim's beat": "{prefix}.beat.{victim}",
        "acknowledges for the victim": "$JS.ACK.{ORDERS}.{victim}.1.1.1.1.0",
        "pulls for the victim": "$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{victim}",
        "deletes the victim's consumer": "$JS.API.CONSUMER.DELETE.{ORDERS}.{victim}",
        "purges STATE": "$JS.API.STREAM.PURGE.{STATE}",
        "deletes STATE": "$JS.API.STREAM.DELETE.{STATE}",
        "goes to an answer's subject": "_R_.aaaaaa.bbbbbb",
    }.items()
} | {
    "a pull whose orders become the victim's report": saying(
        "$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{own}",
        {"batch": 10, "no_wait": True},
        reply="{prefix}.state.{victim}.facts",
    ),
    "a beat whose answer becomes the victim's order": saying(
        "{prefix}.beat.{own}", b"mine", reply="{prefix}.order.{victim}.w"
    ),
}

_HEADERS = {
    f"header {what}": saying("{prefix}.state.{own}.facts", b"mine", headers)
    for what, headers in {
        "Nats-Msg-Id of the victim's message": {"Nats-Msg-Id": "victims-next"},
        "Nats-Rollup of everything": {"Nats-Rollup": "all"},
        "Nats-Rollup of a subject": {"Nats-Rollup": "sub"},
        "Nats-TTL": {"Nats-TTL": "1s"},
        "Nats-TTL never": {"Nats-TTL": "never"},
        "Nats-Marker-Reason": {"Nats-Marker-Reason": "Purge"},
        "Nats-Expected-Stream": {"Nats-Expected-Stream": "{ORDERS}"},
        "Nats-Expected-Last-Sequence": {"Nats-Expected-Last-Sequence": "0"},
        "Nats-Expected-Last-Msg-Id": {"Nats-Expected-Last-Msg-Id": "victims-next"},
        "Nats-Expected-Last-Subject-Sequence of the victim's": {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": "{prefix}.state.{victim}.facts",
        },
        "Nats-Schedule to the victim": {
            "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
            "Nats-Schedule-Target": "{prefix}.state.{victim}.facts",
            "Nats-Schedule-TTL": "1s",
        },
        "Nats-Schedule from the victim": {
            "Nats-Schedule": "@every 1s",
            "Nats-Schedule-Source": "{prefix}.state.{victim}.facts",
            "Nats-Schedule-Target": "{prefix}.state.{own}.copied",
        },
        "Nats-Schedule-Next purge": {
            "Nats-Scheduler": "{prefix}.state.{victim}.facts",
            "Nats-Schedule-Next": "purge",
        },
        "Nats-Batch-Id, first": {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"},
        "Nats-Batch-Id, committed": {
            "Nats-Batch-Id": "b",
            "Nats-Batch-Sequence": "1",
            "Nats-Batch-Commit": "1",
        },
        "Nats-Incr": {"Nats-Incr": "1"},
        "Nats-Counter-Sources": {"Nats-Counter-Sources": "{}"},
        "Nats-Stream-Source": {"Nats-Stream-Source": "{STATE} 1"},
        "Nats-Subject and Nats-Sequence": {
            "Nats-Subject": "{prefix}.state.{victim}.facts",
            "Nats-Sequence": "1",
            "Nats-Stream": "{STATE}",
        },
        "Nats-Trace-Dest to the victim": {
            "Nats-Trace-Dest": "{prefix}.state.{victim}.facts",
            "Accept-Encoding": "",
        },
        "Nats-Trace-Only": {"Nats-Trace-Dest": "trace.of.mine", "Nats-Trace-Only": "true"},
        "traceparent": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        "Nats-Request-Info of the victim": {"Nats-Request-Info": '{"acc":"{victim}","svc":"x"}'},
        "Nats-Response-Type": {"Nats-Response-Type": "x"},
        "Status of a finished pull": {"Status": "408", "Description": "Request Timeout"},
        "Status of a deleted consumer": {"Status": "409", "Description": "Consumer Deleted"},
        "Status of no responders": {"Status": "503"},
        "Nats-Consumer-Stalled": {"Nats-Consumer-Stalled": "{prefix}.state.{victim}.facts"},
    }.items()
} | {
    "header Nats-Rollup on an alert": saying("{prefix}.alert.{own}", b"mine", {"Nats-Rollup": "all"}),
    "header Nats-Msg-Id on an alert": saying("{prefix}.alert.{own}", b"", {"Nats-Msg-Id": "victims-next"}),
    "header Nats-Trace-Dest on a beat": saying(
        "{prefix}.beat.{own}", b"", {"Nats-Trace-Dest": "{prefix}.state.{victim}.facts"}
    ),
}

_BYTES = {
    "a status line that is no text": raw(b"{prefix}.state.{own}.x", UNREADABLE),
    "a status line that is no text, on a beat": raw(b"{prefix}.beat.{own}", UNREADABLE),
    "a status line that is no text, on an alert": raw(b"{prefix}.alert.{own}", UNREADABLE),
    "nothing but a status line": raw(b"{prefix}.state.{own}.x", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
    "a header that ends at once": raw(b"{prefix}.state.{own}.x", b"NATS/1.0"),
    "a header that is no header": raw(b"{prefix}.state.{own}.x", b"\xff" * 40),
    "a header of one byte": raw(b"{prefix}.state.{own}.x", b"N"),
    "a header without a name": raw(b"{prefix}.state.{own}.x", b"NATS/1.0\r\n: \r\n:::\r\n\r\n"),
    "a header that is no text": raw(b"{prefix}.state.{own}.x", b"NATS/1.0\r\na: \xff\xfe\r\n\r\n"),
    "a subject that is no text": raw(b"{prefix}.state.{own}.\xff\xfe\xfd"),
    "a vertical tab in a subject": raw(b"{prefix}.state.{own}.x\x0b7"),
    "a form feed in a subject": raw(b"{prefix}.state.{own}.x\x0c7"),
    "a very long subject": raw(b"{prefix}.state.{own}." + b"x" * 3500),
    "a very deep subject": raw(b"{prefix}.state.{own}" + b".x" * 1500),
    "an empty token": raw(b"{prefix}.state.{own}..x"),
}

_CONSUMER = {"durable_name": "{own}", "name": "{own}", "ack_policy": "none", "deliver_policy": "all"}
_STEAL = _CONSUMER | {"filter_subject": "{prefix}.order.{victim}.>", "deliver_subject": "stolen"}

_API = {
    "pull as another": saying("$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{victim}", {"batch": 10, "no_wait": True}),
    "pull from STATE": saying("$JS.API.CONSUMER.MSG.NEXT.{STATE}.{own}", {"batch": 10, "no_wait": True}),
    "pull naming another's group": saying(
        "$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{own}",
        {"batch": 10, "no_wait": True, "group": "{victim}", "filter_subject": "{prefix}.order.{victim}.>"},
    ),
    "create a consumer with deliver_subject": saying(
        "$JS.API.CONSUMER.CREATE.{ORDERS}", {"stream_name": "{ORDERS}", "config": _STEAL}
    ),
    "create a durable consumer": saying(
        "$JS.API.CONSUMER.DURABLE.CREATE.{ORDERS}.{own}", {"stream_name": "{ORDERS}", "config": _STEAL}
    ),
    "update the own consumer": saying(
        "$JS.API.CONSUMER.CREATE.{ORDERS}.{own}",
        {"stream_name": "{ORDERS}", "config": _STEAL, "action": "update"},
    ),
    "update the own consumer, filter in the subject": saying(
        "$JS.API.CONSUMER.CREATE.{ORDERS}.{own}.{prefix}.order.{victim}.>",
        {"stream_name": "{ORDERS}", "config": _STEAL, "action": "update"},
    ),
    "create a consumer on STATE": saying(
        "$JS.API.CONSUMER.CREATE.{STATE}.{own}", {"stream_name": "{STATE}", "config": _CONSUMER}
    ),
    "delete another's consumer": saying("$JS.API.CONSUMER.DELETE.{ORDERS}.{victim}"),
    "pause another's consumer": saying(
        "$JS.API.CONSUMER.PAUSE.{ORDERS}.{victim}", {"pause_until": "2099-01-01T00:00:00Z"}
    ),
    "reset another's consumer": saying("$JS.API.CONSUMER.RESET.{ORDERS}.{victim}", {"seq": 1}),
    "unpin another's consumer": saying("$JS.API.CONSUMER.UNPIN.{ORDERS}.{victim}", {"group": "g"}),
    "look at another's consumer": saying("$JS.API.CONSUMER.INFO.{ORDERS}.{victim}"),
    "list consumers": saying("$JS.API.CONSUMER.LIST.{ORDERS}"),
    "name consumers": saying("$JS.API.CONSUMER.NAMES.{ORDERS}"),
    "direct get by subject": saying("$JS.API.DIRECT.GET.{STATE}.{prefix}.state.{victim}.facts"),
    "direct get by body": saying(
        "$JS.API.DIRECT.GET.{STATE}", {"last_by_subj": "{prefix}.state.{victim}.facts"}
    ),
    "direct get of many": saying("$JS.API.DIRECT.GET.{STATE}", {"multi_last": ["{prefix}.state.>"]}),
    "get a message": saying(
        "$JS.API.STREAM.MSG.GET.{STATE}", {"last_by_subj": "{prefix}.state.{victim}.facts"}
    ),
    "delete a message": saying("$JS.API.STREAM.MSG.DELETE.{STATE}", {"seq": 1}),
    "look at a stream": saying("$JS.API.STREAM.INFO.{STATE}", {"subjects_filter": ">"}),
    "name streams": saying("$JS.API.STREAM.NAMES"),
    "list streams": saying("$JS.API.STREAM.LIST"),
    "purge a stream": saying("$JS.API.STREAM.PURGE.{STATE}"),
    "delete a stream": saying("$JS.API.STREAM.DELETE.{STATE}"),
    "update a stream": saying(
        "$JS.API.STREAM.UPDATE.{STATE}", {"name": "{STATE}", "subjects": ["x"], "allow_rollup_hdrs": True}
    ),
    "snapshot a stream": saying("$JS.API.STREAM.SNAPSHOT.{STATE}", {"deliver_subject": "stolen"}),
    "restore a stream": saying("$JS.API.STREAM.RESTORE.{STATE}", {"config": {"name": "{STATE}"}}),
    "a stream of its own over the victim's subjects": saying(
        "$JS.API.STREAM.CREATE.MINE", {"name": "MINE", "subjects": ["{prefix}.>"], "storage": "memory"}
    ),
    "a stream of its own that sources STATE": saying(
        "$JS.API.STREAM.CREATE.MINE",
        {
            "name": "MINE",
            "storage": "memory",
            "sources": [{"name": "{STATE}", "external": {"api": "$JS.API", "deliver": "stolen"}}],
        },
    ),
    "the account's JetStream": saying("$JS.API.INFO"),
    "move a stream": saying("$JS.API.SERVER.STREAM.PEER_REMOVE.{STATE}", {"peer": "x"}),
}

_ACKS = {
    f"{what}": saying(subject, body)
    for what, subject, body in (
        ("acknowledge for another", "$JS.ACK.{ORDERS}.{victim}.1.1.1.1.0", b"+ACK"),
        ("terminate for another", "$JS.ACK.{ORDERS}.{victim}.1.1.1.1.0", b"+TERM"),
        ("refuse for another", "$JS.ACK.{ORDERS}.{victim}.1.1.1.1.0", b"-NAK"),
        ("pull for another by an acknowledgement", "$JS.ACK.{ORDERS}.{victim}.1.1.1.1.0", b"+NXT"),
        ("acknowledge another's sequence as oneself", "$JS.ACK.{ORDERS}.{own}.1.1.1.1.0", b"+ACK"),
        ("acknowledge with another's name behind", "$JS.ACK.{ORDERS}.{own}.{victim}.1.1.1.0", b"+ACK"),
        ("acknowledge on STATE", "$JS.ACK.{STATE}.{own}.1.1.1.1.0", b"+ACK"),
        ("acknowledge in the newer form", "$JS.ACK._.x.{ORDERS}.{victim}.1.1.1.1.0", b"+ACK"),
        ("flow control", "$JS.FC.{ORDERS}.{victim}.x", b""),
    )
}

_LISTEN = {
    "listen to everything": listening(">"),
    "listen to every inbox": listening("_INBOX.>", "_INBOX.*.*", "_INBOX.*"),
    "listen to answers across accounts": listening("_R_.>", "_R_.*.*", "_GR_.>"),
    "listen to reports and orders": listening("{prefix}.>", "{prefix}.order.{victim}.>", "*.*.{victim}.>"),
    "listen to JetStream": listening("$JS.>", "$JS.EVENT.>", "$JSC.>"),
    "listen to the system": listening("$SYS.>", "$SYS.ACCOUNT.{victim}.>", "$SYS.REQ.>"),
    "answer beats in the centre's stead": listening("{prefix}.beat.*", "{prefix}.beat.{victim}"),
}

_SYSTEM = {
    "connections of another": saying("$SYS.REQ.ACCOUNT.{victim}.CONNZ"),
    "subscriptions of another": saying("$SYS.REQ.ACCOUNT.{victim}.SUBSZ", {"subscriptions": True}),
    "claims of another": saying("$SYS.REQ.ACCOUNT.{victim}.CLAIMS.LOOKUP"),
    "JetStream of the centre": saying("$SYS.REQ.ACCOUNT.{centre}.JSZ", {"streams": True, "config": True}),
    "accounts of the server": saying("$SYS.REQ.SERVER.PING.ACCOUNTZ"),
    "connections of the server": saying("$SYS.REQ.SERVER.PING.CONNZ"),
    "claims listed": saying("$SYS.REQ.CLAIMS.LIST"),
    "claims deleted": saying("$SYS.REQ.CLAIMS.DELETE", b"forged"),
    "kick a client": saying("$SYS.REQ.SERVER.x.KICK", {"cid": 1}),
}

ATTACKS: dict[str, Attack] = {
    **_PUBLISH,
    **_REPLY,
    **_HEADERS,
    **_BYTES,
    **_API,
    **_ACKS,
    **_LISTEN,
    **_SYSTEM,
}
