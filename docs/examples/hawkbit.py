#!/usr/bin/env python3
"""Let hawkBit decide which release a device runs: a client of its Direct Device Integration API.

    hawkbit.py --url https://hawkbit.example --tenant DEFAULT --id edge-01 --token-file /etc/vggse-agent/hawkbit.token

An action names a release in one of two ways: a software module without artefacts, whose name and version
are those of the release (parts, 7), is fetched from update.from; one with an artefact that ends in .tar has
the release in it, as 'release push … FILE.tar' writes it. Either way 'vggse-agent release pull' looks at the
signature; hawkBit cannot make a device run anything that no trusted key signed. Nothing but Python's standard
library is needed. Tried against a fake of the API; unproven against a real hawkBit server.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

LARGEST = 4 << 30  # bytes of an artefact


class Refused(Exception):
    """The device cannot do what the action wants; the text says why."""


class Hawkbit:
    def __init__(self, args):
        with open(args.token_file, encoding='utf-8') as f:
            token = f.readline().strip()
        self.base = (f'{args.url.rstrip("/")}/{urllib.parse.quote(args.tenant)}/controller/v1/'
                     f'{urllib.parse.quote(args.id)}')
        self.origin = urllib.parse.urlsplit(args.url)[:2]
        self.headers = {'Authorization': f'{args.token_kind} {token}', 'Accept': 'application/hal+json'}

    def ask(self, url, body=None, method=None):
        """Ask the server, and nobody else: it may not send the token elsewhere."""
        if urllib.parse.urlsplit(url)[:2] != self.origin:
            raise Refused(f'the server names another one: {url}')
        request = urllib.request.Request(url, method=method, headers=dict(self.headers))
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header('Content-Type', 'application/json')
        return urllib.request.urlopen(request, timeout=60)

    def json(self, url):
        with self.ask(url) as answer:
            return json.loads(answer.read(1 << 20))

    def tell(self, url, action, execution, finished='none', details=()):
        self.ask(f'{url.split("?")[0]}/feedback', {'id': str(action), 'status': {
            'execution': execution, 'result': {'finished': finished}, 'details': [str(d)[:500] for d in details]}}).close()

    def fetch(self, artefact, folder):
        """Download an artefact whose size and SHA-256 are told; the signature in it is looked at later."""
        links = artefact.get('_links', {})
        link = links.get('download') or links.get('download-http')
        size, want = artefact.get('size', 0), artefact.get('hashes', {}).get('sha256', '')
        if not link or not 0 < size <= LARGEST or len(want) != 64:
            raise Refused(f'{artefact.get("filename")}: no link, size or SHA-256')
        path, digest, left = os.path.join(folder, 'release.tar'), hashlib.sha256(), size
        with self.ask(link['href']) as answer, open(path, 'wb') as out:
            while left >= 0 and (piece := answer.read(min(1 << 20, left + 1))):
                left -= len(piece)
                digest.update(piece)
                out.write(piece)
        if left != 0 or digest.hexdigest() != want:
            raise Refused(f'{artefact["filename"]} is not what hawkBit says of it')
        return path


def agent(args, *words):
    done = subprocess.run([args.agent, *words, *args.agent_args], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f'exit {done.returncode}')
    return done.stdout


def install(args, server, deployment):
    chunks = deployment.get('chunks', [])
    if len(chunks) != 1:
        raise Refused(f'the distribution set has {len(chunks)} software modules, one is wanted')
    chunk = chunks[0]
    with tempfile.TemporaryDirectory() as folder:
        place = f'{chunk.get("name")}:{chunk.get("version")}'
        artefacts = [a for a in chunk.get('artifacts', []) if a.get('filename', '').endswith('.tar')]
        if chunk.get('artifacts') and len(artefacts) != 1:
            raise Refused('the software module has artefacts, and not one .tar')
        if artefacts:
            place = server.fetch(artefacts[0], folder)
        line = json.loads(agent(args, 'release', 'pull', place, '--activate', '--json'))
    if args.reload:
        subprocess.run(args.reload, shell=True, check=True)
    return f'{line["name"]} release {line["release"]}, bundle {line["bundle"]}, signed by {line["signed_by"]}'


def once(args, server, done):
    """One poll. It returns how many seconds the server wants to be left alone."""
    base = server.json(server.base)
    links = base.get('_links', {})
    if 'configData' in links:
        server.ask(links['configData']['href'], {'mode': 'merge', 'data': {
            'vggse-agent': agent(args, 'version', '--json').strip()[:120]}}, 'PUT').close()
    if 'cancelAction' in links:
        url = links['cancelAction']['href']
        action = server.json(url)['cancelAction']['stopId']
        server.tell(url, action, 'closed', 'success', ['what was installed already stays'])
        done.add(str(action))
    elif 'deploymentBase' in links:
        url = links['deploymentBase']['href']
        action = server.json(url)
        if action['id'] not in done:
            server.tell(url, action['id'], 'proceeding')
            try:
                details = [install(args, server, action['deployment'])]
                finished = 'success'
            except Refused as e:
                details, finished = [e], 'failure'
            server.tell(url, action['id'], 'closed', finished, details)
            done.add(action['id'])
            print(f'action {action["id"]}: {finished}: {details[0]}', flush=True)
    hours, minutes, seconds = base.get('config', {}).get('polling', {}).get('sleep', '00:05:00').split(':')
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--url', required=True)
    p.add_argument('--tenant', default='DEFAULT')
    p.add_argument('--id', required=True, help="hawkBit's controller id of this device")
    p.add_argument('--token-file', required=True, help='file whose first line is the token')
    p.add_argument('--token-kind', choices=['TargetToken', 'GatewayToken'], default='TargetToken')
    p.add_argument('--agent', default='vggse-agent')
    p.add_argument('--reload', default='', help="command after an installation, as 'systemctl reload vggse-agent'")
    p.add_argument('--once', action='store_true', help='one poll, and its exit code')
    args, args.agent_args = p.parse_known_args()
    server, done, wait = Hawkbit(args), set(), 300
    while True:
        try:
            wait = min(max(once(args, server, done), 1), 86400)
        except (urllib.error.URLError, OSError, ValueError, KeyError, Refused) as e:
            print(f'{args.url}: {e}', file=sys.stderr, flush=True)
            if args.once:
                return 1
        if args.once:
            return 0
        time.sleep(wait)


if __name__ == '__main__':
    sys.exit(main())
