// The view of the device: model, health, messages, machine, events.

import {h, button, table, dot, get, keeping} from './dom.js';
import {compared} from './teach.js';
import {View} from './view.js';
import {t, bytes, since, whole, decimal, when, percent} from './text.js';

const wide = ['frames', 'doctor']; // panels across
const counts = ['captured', 'classified', 'skipped'];

/** show mounts the view. */
export const show = (root, ctx) => new Device(root, ctx);

class Device extends View {
  constructor(root, ctx) {
    super(root, ctx, 3000);
    this.events = [];
    this.after = 0;
    this.panels = Object.fromEntries(['model', 'models', 'parts', 'broker', 'machine', ...wide].map((key) => {
      const body = h('div');
      return [key, {body, el: h(wide.includes(key) ? 'section.panel.wide' : 'section.panel', h('h2', t('device.' + key)), body)}];
    }));
    this.list = h('tbody');
    this.none = h('p.quiet', t('device.none'));
    root.replaceChildren(h('h1.hidden', t('view.device')), this.said, h('div.panels',
      Object.values(this.panels).map((p) => p.el),
      h('section.panel.wide', h('h2', t('device.events')), this.none, table(['when', 'why.camera', 'what', 'who'].map((k) => t(k)), [], this.list))));
    this.load();
    this.findings();
  }

  state(_, noted) { if (noted) this.news(); }

  ask() {
    if (!this.events.length) this.news();
    return get('/api/device');
  }

  async news() {
    if (this.asking) return;
    this.asking = true;
    try {
      const {events} = await get('/api/events', {after: this.after});
      if (events && events.length) {
        this.after = events[events.length - 1].n;
        this.events = this.events.concat(events).slice(-200);
        this.drawEvents();
      }
    } catch { /* the next event asks again */ }
    this.asking = false;
  }

  // examine asks for what 'doctor' finds: it takes seconds, so it is not asked with the rest.
  async examine(button) {
    await this.does(button, '/api/doctor', {}, 'doctor.wait');
    this.findings();
  }

  async findings() {
    try {
      const d = await get('/api/doctor'), rank = {fail: 0, warn: 1, ok: 2}, status = {fail: 'failed', warn: 'degraded', ok: 'ok'};
      const all = d.findings.sort((a, b) => rank[a.status] - rank[b.status]);
      this.fill('doctor', h('p.quiet', d.at ? t('doctor.at', when(d.at, this.store.deviceNow())) : t('doctor.what')),
        this.act && button('.plain', t('doctor.go'), (e) => this.examine(e.target)),
        all.length > 0 && h('ul.parts', all.map((f) => h('li', dot(status[f.status], t('health.' + status[f.status])), h('strong', f.check), ' ', h('span', f.found), f.cure && h('span.cure', '→ ', f.cure)))));
    } catch { /* asked again with the next view */ }
  }

  fill(key, ...children) {
    const body = this.panels[key].body;
    const next = h('div', children);
    if (body.textContent !== next.textContent || body.childElementCount !== next.childElementCount) keeping(() => body.replaceChildren(...next.childNodes));
  }

  draw(d) {
    const m = d.model;
    this.fill('model', m.name ? facts([
      ['name', m.name], ['version', m.version], ['precision', m.precision], ['why', m.why], ['provider', m.provider],
      ['tried', (m.tried || []).join('\n')], ['runtime', m.runtime], ['digest', m.sha256 && m.sha256.slice(0, 12)],
    ]) : h('p.quiet', t('model.opening')));
    this.fill('parts', h('p', d.sentence), h('ul.parts', (d.parts || []).map((p) => h('li', {'data-status': p.status},
      dot(p.status, t('health.' + p.status)), h('strong', t('part.' + p.name)), ' ', h('span', p.reason || t('health.' + p.status))))));
    this.fill('broker', facts([
      ['broker.url', `${d.broker.url} (${t(d.broker.connected ? 'broker.connected' : 'broker.not')})`],
      ['waiting', t('waiting.n', whole(d.queue.records), bytes(d.queue.bytes))], ['dropped', whole(d.queue.dropped)],
    ]));
    this.machine(d);
    this.fill('frames', table([t('why.camera')], [...counts, 'unlike'].map((k) => t(k)), (d.cameras || []).map((c) => h('tr', h('td', c.name), counts.map((k) => h('td.n', whole(c[k]))),
      h('td.n', c.judged ? percent(c.unknown / c.judged) : '–', c.drift && ` · ${t('drift')}`)))));
    const models = d.models || [], u = d.update || {};
    this.fill('models', ['shadow', 'probation', 'failed', 'pulling', 'checking', 'waiting'].includes(u.state) && h('p', {className: u.state === 'failed' ? 'error' : ''},
      t('update.' + u.state), u.of > 0 && ` ${bytes(u.bytes || 0)} / ${bytes(u.of)}`, u.reason && ` ${u.reason}`, u.pairs > 0 && ` ${compared(u)}`), models.length ? h('ul.parts', models.map((i) => h('li', h('strong', i.name), ` ${i.version} `, h('code', i.sha256.slice(0, 12)),
      i.active && h('span.pill', t('active')), i.local && h('span.pill', {title: t('local.what')}, t('local')), i.on_trial && h('span.pill', t('trial')), i.before && h('span.pill', t('before')), i.refused && h('span.quiet', ` ${i.refused} `),
      !i.active && this.act && button('.plain', t(i.before ? 'back' : 'activate'), (e) => this.activate(e.target, i), {id: 'run-' + i.sha256}))))
      : h('p.quiet', d.model_note === 'model.bundle' ? t('models.configured') : d.model_note || t('models.none')));
  }

  async activate(button, i) {
    if (!confirm(t(i.before ? 'rollback.sure' : 'activate.sure', `${i.name} ${i.version}`))) return;
    await this.does(button, i.before ? '/api/model/rollback' : '/api/model/activate', i.before ? {} : {sha256: i.sha256}, 'activate.wait');
  }

  machine(d) {
    const m = d.machine || {};
    const temperatures = Object.entries(m.temperature_c || {}).map(([zone, v]) => `${zone} ${decimal(v, 1)} °C`).join('\n');
    const free = (x) => (x ? t('free.of', bytes(x.available_bytes ?? x.available), bytes(x.total_bytes ?? x.total)) : '');
    this.fill('machine', facts([
      ['uptime', since(d.uptime * 1000)], ['program', this.hello.version], ['viewers', whole(d.viewers)],
      ['memory', free(m.memory)], ['disk', free(m.disk)], ['temperature', temperatures],
      ['gpu', m.gpu && m.gpu.load !== undefined ? percent(m.gpu.load) : ''],
      ['power', m.power ? `${decimal(m.power.total_w, 1)} W` : ''],
      ['throttled', m.throttle ? (m.throttle.active || []).join(', ') || t('throttled.no') : ''],
    ]));
  }

  drawEvents() {
    const now = this.store.deviceNow();
    this.none.hidden = this.events.length > 0;
    this.list.replaceChildren(...this.events.slice().reverse().map((e) => h('tr', h('td', when(Date.parse(e.ts), now)),
      h('td', e.camera || ''), h('td', eventText(e)), h('td', e.by || ''))));
  }
}

// eventText is an event in the language of the page.
function eventText(e) {
  switch (e.kind) {
    case 'camera': return t('event.camera', t('camera.' + e.text));
    case 'broker': return t('event.broker.' + e.text);
    case 'health': return t('event.health', t('part.' + e.part), e.text);
    default: return t.has('event.' + e.kind) ? t('event.' + e.kind, e.text) : e.text;
  }
}

// facts is a list of names and values; empty values are left out.
function facts(pairs) {
  return h('dl', pairs.filter(([, v]) => v).map(([k, v]) => [h('dt', t(k)), h('dd', v)]));
}
