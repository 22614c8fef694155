#!/usr/bin/env python3
"""Print what vggse-agents publish: current labels, changes, and devices that go away.

    pip install 'paho-mqtt>=2'
    python3 subscribe.py --broker 127.0.0.1 --port 1883
"""

import argparse
import collections
import json

import paho.mqtt.client as mqtt

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--broker", default="127.0.0.1")
parser.add_argument("--port", type=int, default=1883)
parser.add_argument("--prefix", default="vggse", help="mqtt.topic_prefix of the agents")
parser.add_argument("--client-id", default="example-subscriber", help="one of its own for each subscriber")
args = parser.parse_args()

# Delivery is at least once: (stream_id, seq) identifies a message, so the last 10,000 are remembered.
seen = collections.OrderedDict()


def repeated(message):
    key = message["stream_id"], message["seq"]
    if key in seen:
        return True
    seen[key] = True
    if len(seen) > 10_000:
        seen.popitem(last=False)
    return False


def on_connect(client, _userdata, _flags, reason, _properties):
    print(f"connected: {reason}", flush=True)
    # Subscribing again after each connection costs nothing, and is needed where the broker kept no session.
    client.subscribe([(f"{args.prefix}/{topic}", 1) for topic in
                      ("+/available", "+/+/status", "+/+/classification", "+/+/event")])


def on_message(_client, _userdata, message):
    *_, device, what = message.topic.removeprefix(args.prefix + "/").rsplit("/", 1)
    if not message.payload:  # a camera or device that was removed from its configuration
        return
    if what == "event":
        event = json.loads(message.payload)
        if repeated(event):
            return
        text = event["event_type"]  # camera_lost, camera_restored, and what a later version adds
        if text == "class_changed":
            text = f"{event['previous']} -> {event['label']} ({event['p']:.0%})"
        late = " (late)" if event["redelivered"] else ""
        print(f"{event['ts']} {device}: {text}{late}", flush=True)
    elif what == "classification" and message.retain:
        print(f"{device} shows {message.payload.decode()}", flush=True)
    elif what in ("available", "status"):
        print(f"{device} is {message.payload.decode()}", flush=True)


# With clean_session=False the broker keeps what arrives at QoS 1 while this program is not running.
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=args.client_id, clean_session=False)
client.on_connect = on_connect
client.on_message = on_message
client.connect(args.broker, args.port, keepalive=20)
client.loop_forever()
