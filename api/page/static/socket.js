// The one connection to the agent. It comes back by itself, and says when nothing is heard.

const silence = 6000; // ms: the agent speaks at least every 2 s
const header = 40; // bytes before a picture

export class Socket extends EventTarget {
  constructor() {
    super();
    this.tries = 0;
    this.heard = 0; // by the browser's clock
    this.alive = false;
    setInterval(() => this.check(), 1000);
    document.addEventListener('visibilitychange', () => this.tell());
    window.addEventListener('online', () => this.open());
    // A page that was left is kept by the browser, with its connection: nobody looks at it.
    window.addEventListener('pagehide', () => { this.left = true; this.ws?.close(); });
    window.addEventListener('pageshow', (e) => { this.left = false; if (e.persisted) this.open(); });
    this.open();
  }

  open() {
    clearTimeout(this.again);
    if (this.left) return;
    if (this.ws && this.ws.readyState <= WebSocket.OPEN) return;
    const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/api/socket`);
    ws.binaryType = 'arraybuffer';
    ws.onopen = () => { this.tries = 0; this.tell(); };
    ws.onmessage = (e) => this.take(e.data);
    ws.onclose = () => { if (this.ws === ws) this.lost(); };
    this.ws = ws;
    this.heard = Date.now();
  }

  // lost tries again, the later the more often it failed, and not all viewers at once.
  lost() {
    this.set(false);
    clearTimeout(this.again);
    const wait = Math.min(15000, 500 * 2 ** this.tries++) * (0.5 + Math.random());
    this.again = setTimeout(() => this.open(), wait);
    if (this.tries === 2) this.whether();
  }

  // whether asks for the page: a session may have ended.
  async whether() {
    try {
      const answer = await fetch('/version', {headers: {Accept: 'application/json'}});
      if (answer.status === 401) location.assign('/login');
    } catch { /* nobody answers */ }
  }

  check() {
    if (this.alive && Date.now() - this.heard > silence && !document.hidden) {
      const ws = this.ws;
      this.set(false);
      ws.close();
      this.ws = null;
      this.open();
    }
  }

  set(alive) {
    if (this.alive === alive) return;
    this.alive = alive;
    this.dispatchEvent(new Event('alive'));
  }

  take(data) {
    this.heard = Date.now();
    if (typeof data === 'string') {
      const message = JSON.parse(data);
      this.dispatchEvent(new CustomEvent(message.type, {detail: message}));
      this.set(true);
      return;
    }
    const v = new DataView(data);
    if (v.getUint8(0) !== 1) return;
    this.dispatchEvent(new CustomEvent('picture', {detail: {
      network: v.getUint8(1) === 1, camera: v.getUint16(2), width: v.getUint16(4), height: v.getUint16(6),
      frame: Number(v.getBigUint64(8)), time: Number(v.getBigUint64(16)), number: Number(v.getBigUint64(24)),
      seen: [32, 34, 36, 38].map((i) => v.getUint16(i) / 65535),
      blob: new Blob([new Uint8Array(data, header)], {type: v.getUint8(1) === 1 ? 'image/png' : 'image/jpeg'}),
    }}));
  }

  send(message) {
    if (this.ws && this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
  }

  /** want asks for the next picture of a camera. */
  want(camera, network, after) { this.send({camera, network, after}); }

  // tell says whether anybody looks.
  tell() {
    this.send({quiet: document.hidden});
    if (!document.hidden) { this.heard = Date.now(); this.dispatchEvent(new Event('visible')); this.open(); }
  }
}
