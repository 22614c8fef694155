#!/usr/bin/env python3
"""Hold the agent against a live Home Assistant.

Starts Mosquitto, the agent on demo://parts and Home Assistant with its MQTT integration, looks for a
while, stops the agent and starts it again. Fails where Home Assistant logs a warning of ours, where an
entity never gets a state, where its recorder gets more rows than it may, where entities do not become
unavailable with the agent, and where a template does not give what it must.

    ha-check.py --agent bin/vggse-agent --announcement mqtt/testdata/discovery.json --seconds 300
"""
import argparse
import asyncio
import contextlib
import importlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROWS = 2000  # of the recorder, an hour and camera
WITHOUT_STATE = ('button.', 'event.', 'image.')  # these have one only after they were used
AWAY = ('unavailable',)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(args, log, **options):
    """A process that is ended, by SIGTERM, with the block."""
    with open(log, 'ab') as out:
        p = subprocess.Popen(args, stdout=out, stderr=out, **options)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(60)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def wait(what, holds, limit=180):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = holds()
        if value:
            return value
        time.sleep(0.5)
    raise SystemExit(f'FAILED: {what} has not come within {limit} s')


def configure(folder, broker_port):
    """Write the configuration of Home Assistant: MQTT and the recorder, nothing else."""
    (folder / '.storage').mkdir(parents=True)
    (folder / 'configuration.yaml').write_text(f'''
homeassistant: {{name: check, time_zone: UTC, latitude: 0, longitude: 0, elevation: 0, country: DE}}
http: {{server_host: 127.0.0.1, server_port: {free_port()}}}
recorder: {{commit_interval: 1}}
logger: {{default: warning}}
''')
    entry = {
        'entry_id': 'mqtt', 'version': 1, 'minor_version': 2, 'domain': 'mqtt', 'title': 'check', 'source': 'user',
        'data': {'broker': '127.0.0.1', 'port': broker_port}, 'options': {}, 'unique_id': None, 'disabled_by': None,
        'pref_disable_new_entities': False, 'pref_disable_polling': False, 'discovery_keys': {}, 'subentries': [],
        'created_at': '2025-01-01T00:00:00+00:00', 'modified_at': '2025-01-01T00:00:00+00:00',
    }
    (folder / '.storage' / 'core.config_entries').write_text(json.dumps(
        {'version': 1, 'minor_version': 5, 'key': 'core.config_entries', 'data': {'entries': [entry]}}))


class Recorder:
    """What Home Assistant's recorder has kept."""

    def __init__(self, folder):
        self.file = folder / 'home-assistant_v2.db'

    def query(self, text, *values):
        if not self.file.exists():
            return []
        try:
            with contextlib.closing(sqlite3.connect(f'file:{self.file}?mode=ro', uri=True, timeout=10)) as db:
                return db.execute(text, values).fetchall()
        except sqlite3.OperationalError:  # not laid out yet
            return []

    def rows(self, since=0.0):
        """Rows by entity since a time."""
        return dict(self.query('SELECT m.entity_id, count(*) FROM states s JOIN states_meta m USING (metadata_id) '
                               'WHERE s.last_updated_ts > ? GROUP BY 1', since))

    def states(self):
        """The newest state of each entity."""
        return dict(self.query('SELECT m.entity_id, s.state FROM states s JOIN states_meta m USING (metadata_id) '
                               'WHERE s.state_id = (SELECT max(state_id) FROM states '
                               'WHERE metadata_id = m.metadata_id)'))


def announced(broker_port):
    """The retained announcement."""
    out = subprocess.run(['mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker_port), '-C', '1', '-W', '30', '-t',
                          'homeassistant/device/+/config'], capture_output=True, check=True)
    return json.loads(out.stdout)


TEMPLATES = {  # component: payload and what comes out
    'temperature': [('{"machine":{"temperature_c":{"cpu":41.5,"gpu":39}}}', '41.5'), ('{"machine":{}}', 'None'),
                    ('{}', 'None'), ('{"machine":{"temperature_c":{}}}', 'None')],
    'B_label': [('{"label":"gear"}', 'gear'), ('{"label":"unknown"}', 'no class'),
                ('{"label":"None"}', 'None (class)'), ('{"label":"unavailable"}', 'unavailable (class)'),
                ('{"label":" a b "}', 'a b'), ('{"label":"12"}', '12'), ('{"label":"%s"}' % ('x' * 300), 'x' * 255)],
    'B_fps': [('{"cameras":[{"fps":1},{"fps":14.93}]}', '14.9'), ('{"cameras":[]}', 'None')],
    'B_latency': [('{"cameras":[{},{"total_us":{"p50":1850}}]}', '1.9'), ('{"cameras":[]}', 'None')],
    'B_confidence': [('{"p":0.91234}', '91.2'), ('{"p":0}', '0')],
    'B_connected': [('online', 'ON'), ('stalled', 'OFF'), ('disabled', 'OFF')],
    'B_event': [('{"event_type":"class_changed"}', ''),
                   ('{"event_type":"camera_lost"}', '{"event_type":"camera_lost"}')],
    'problem': [('{"overall":"ok"}', 'OFF'), ('{"overall":"degraded"}', 'ON')],
    'release': [
        ('{"state":"pulling","name":"parts","release":8,"bytes":5,"of":10,"reason":"","installed":7}',
         '{"installed_version":"7","latest_version":"8","title":"parts","release_summary":"","in_progress":true,'
         '"update_percentage":50}'),
        ('{"state":"failed","name":"parts","release":8,"bytes":0,"of":0,"reason":"no","installed":9}',
         '{"installed_version":"9","latest_version":"9","title":"parts","release_summary":"no","in_progress":false,'
         '"update_percentage":null}')],
    'model': [('{"model":{"name":"a","version":"1","sha256":"abcdef0123456789"}}', 'a 1 (abcdef012345)')],
}


async def schemas_and_templates(announcement, folder):
    """Hold an announcement against Home Assistant's schemas, and render its templates as it does."""
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.template import Template
    hass = HomeAssistant(str(folder))
    wrong = []
    components = announcement['components']
    try:
        DEVICE_DISCOVERY_SCHEMA(json.loads(json.dumps(announcement)))
    except Exception as e:
        wrong.append(f'the announcement: {e}')
    shared = {k: announcement[k] for k in ('device', 'origin', 'availability', 'qos')}
    for key, component in components.items():
        platform = importlib.import_module('homeassistant.components.mqtt.' + component['platform'])
        options = {k: v for k, v in {**shared, **component}.items() if k != 'platform'}
        try:
            platform.DISCOVERY_SCHEMA(options)
        except Exception as e:
            wrong.append(f'{key}: {e}')
    for key, cases in TEMPLATES.items():
        text = components[key]['value_template']
        for payload, want in cases:
            got = Template(text, hass).async_render_with_possible_json_value(payload, error_value='ERROR')
            if str(got) != want and str(got) != want + '.0':
                wrong.append(f'{key}: {payload[:80]} gives {got!r}, not {want!r}')
    await hass.async_stop(force=True)
    return wrong


def complaints(log):
    """The warnings of Home Assistant that are about us or MQTT."""
    lines = log.read_text(errors='replace').splitlines() if log.exists() else []
    return [line for line in lines if any(w in line for w in ('WARNING', 'ERROR', 'CRITICAL')) and
            any(w in line.lower() for w in ('mqtt', 'vggse', 'belt', 'template'))]


def look(args, folder):
    broker, faults = free_port(), []
    conf = folder / 'mosquitto.conf'
    conf.write_text(f'listener {broker} 127.0.0.1\nallow_anonymous true\n')
    ha = folder / 'ha'
    configure(ha, broker)
    (folder / 'agent.yaml').write_text(f'''
device: {{id: check}}
cameras: [{{name: belt, source: "demo://parts"}}]
mqtt: {{broker: "tcp://127.0.0.1:{broker}"}}
update: {{from: {folder}/releases, name: parts, every: 1h}}
http: {{listen: "off"}}
state_dir: {folder}/state
cache_dir: {folder}/cache
''')
    agent = [args.agent, '--config', str(folder / 'agent.yaml'), '--set',
             'mqtt.commands.allow=set,snapshot,reload,restart', 'run']
    mosquitto = shutil.which('mosquitto', path=os.environ['PATH'] + ':/usr/sbin:/usr/local/sbin')
    hass = [sys.executable, '-m', 'homeassistant', '-c', str(ha), '--log-no-color']
    recorder = Recorder(ha)

    def ours():
        return {k: v for k, v in recorder.states().items() if 'belt' in k or 'check' in k}

    with process([mosquitto, '-c', str(conf)], folder / 'mosquitto.log'), process(hass, folder / 'hass.log') as home:
        wait('Home Assistant', lambda: home.poll() is not None or recorder.states())
        if home.poll() is not None:
            raise SystemExit('FAILED: Home Assistant has ended:\n' + (folder / 'hass.log').read_text()[-4000:])
        with process(agent, folder / 'agent.log') as running:
            wait('an entity', lambda: ours() or running.poll() is not None)
            if running.poll() is not None:
                raise SystemExit('FAILED: the agent has ended:\n' + (folder / 'agent.log').read_text()[-2000:])
            components = announced(broker)['components']
            begin = time.time()
            time.sleep(args.seconds)
            rows = {k: v for k, v in recorder.rows(begin).items() if 'belt' in k}
            hours = (time.time() - begin) / 3600
            states = ours()
        for entity, state in sorted(states.items()):
            print(f'{entity:48} {rows.get(entity, 0):6} rows  {state}')
            if state in ('unknown', 'unavailable') and not entity.startswith(WITHOUT_STATE):
                faults.append(f'{entity} is {state}')
        if len(states) < len(components):
            faults.append(f'{len(components)} entities are announced, {len(states)} are there')
        an_hour = sum(rows.values()) / hours
        print(f'{an_hour:.0f} rows an hour and camera, at most {ROWS} are right')
        if an_hour > ROWS + 60 / hours:  # the first changes come as they are
            faults.append(f'{an_hour:.0f} rows an hour and camera')
        wait('unavailable entities after the stop',
             lambda: all(s in AWAY for k, s in ours().items()))
        with process(agent, folder / 'agent.log'):
            wait('the class after the start', lambda: any(
                k.endswith('_class') and s not in ('unknown', 'unavailable') for k, s in ours().items()))
    faults += complaints(ha / 'home-assistant.log')
    faults += asyncio.run(schemas_and_templates(json.loads(pathlib.Path(args.announcement).read_text()), ha))
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--agent', required=True)
    parser.add_argument('--seconds', type=float, default=300)
    parser.add_argument('--announcement', required=True, help='one with all entities, as the tests of mqtt write it')
    parser.add_argument('--keep', help='folder for logs and configuration (default: a temporary one)')
    args = parser.parse_args()
    args.agent = os.path.abspath(args.agent)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(args.keep or stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        faults = look(args, folder)
    for fault in faults:
        print('FAILED:', fault)
    if not faults:
        print('ok')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
