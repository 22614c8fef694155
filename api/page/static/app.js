// The frame around the views: navigation, what is not well, language and colours.

import {h, button, say, attr, keeping} from './dom.js';
import {Socket} from './socket.js';
import {t, language, setLanguage, since, clock, setZone, languages} from './text.js';
import * as cameras from './cameras.js';
import * as why from './why.js';
import * as pictures from './pictures.js';
import * as channels from './channels.js';
import * as teach from './teach.js';
import * as device from './device.js';

// One entry a view: a further one is a module with the same three functions.
const views = {cameras, why, channels, pictures, teach, device};
const icons = {
  cameras: 'M3 7h3l1.5-2h5L14 7h3v9H3zM10 9a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z',
  why: 'M3 3v14h14M6 13l3-4 3 2 4-6',
  pictures: 'M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 7.5h.01',
  channels: 'M3 4h3v12H3zM8.5 4h3v12h-3zM14 4h3v12h-3zM3 9h3M8.5 12h3M14 7h3',
  teach: 'M10 3l8 4-8 4-8-4zM5 9v5c3 2.5 7 2.5 10 0V9M18 7v5',
  device: 'M5 5h10v10H5zM8 2v3M12 2v3M8 15v3M12 15v3M2 8h3M2 12h3M15 8h3M15 12h3',
};

/* global theme:writable, colours, dark */
const themes = {auto: '◐', light: '☀', dark: '☾'};

/** store is what the agent has said last. */
export const store = {
  hello: null, cameras: [], troubles: [], noted: 0, skew: 0, now: 0, alive: false,
  /** deviceNow is the time of the device, by its clock. */
  deviceNow() { return Date.now() + this.skew; },
};

const socket = new Socket();
const banner = h('div.banner', {role: 'status', 'aria-live': 'polite', hidden: true});
const dot = h('span.dot');
const word = h('span');
const name = h('span.device');
const time = h('time', {title: ''});
const nav = h('nav', {'aria-label': 'vggse-agent'});
const main = h('main', {id: 'main', tabIndex: -1});
let view = null;
let shown = '';
let at = ''; // the address that is shown

function chrome() {
  const choose = h('select', {id: 'language', 'aria-label': t('language'), title: t('language'), onchange: async (e) => { await setLanguage(e.target.value); start(); }},
    Object.entries(languages).map(([code, own]) => h('option', {value: code, selected: code === language()}, own)));
  const title = `${t('colours')}: ${t('theme.' + theme)}`;
  const switcher = button('.icon', themes[theme], nextTheme, {id: 'theme', title, 'aria-label': title});
  const logout = store.hello && store.hello.login
    ? h('form', {method: 'post', action: '/logout'}, h('button.plain', {type: 'submit'}, t('logout'))) : null;
  const login = store.hello && store.hello.can_act && !store.hello.act ? h('a.plain', {href: '/login'}, t('login')) : null;
  document.body.replaceChildren(
    h('a.skip', {href: '#main', onclick: (e) => { e.preventDefault(); main.focus(); }}, t('skip')),
    h('header',
      h('a.brand', {href: '#cameras', 'aria-label': 'vggse-agent'}, h('img', {src: '/static/icon.svg', alt: '', width: 26, height: 26}), h('span', h('strong', 'vggse-agent'), name)),
      nav, h('div.right', h('span.pill', {title: t('connection')}, dot, word), time, choose, switcher, login, logout)),
    banner, main);
  nav.replaceChildren(...Object.keys(views).map((key) => h('a', {href: '#' + key, 'data-view': key},
    h('svg', {viewBox: '0 0 20 20', 'aria-hidden': 'true'}, h('path', {d: icons[key]})), h('span', t('view.' + key)))));
}

function nextTheme() {
  const order = Object.keys(themes);
  theme = order[(order.indexOf(theme) + 1) % order.length];
  colours();
  try { localStorage.setItem('theme', theme); } catch { /* it holds for this page alone */ }
  repaint();
}

// route shows the view of the address: #cameras, or #why/CAMERA.
function route() {
  at = location.hash;
  const [key, ...rest] = decodeURIComponent(location.hash.slice(1)).split('/');
  const next = views[key] ? key : 'cameras';
  mark(next);
  document.title = `${t('view.' + next)} – ${(store.hello && store.hello.name) || 'vggse-agent'}`;
  if (!store.hello) {
    main.replaceChildren(h('p.empty', t('connecting')));
    return;
  }
  if (view) view.stop();
  shown = next;
  main.dataset.view = next;
  keeping(() => { view = views[next].show(main, {store, socket, argument: rest.join('/')}); });
}

function mark(key) {
  for (const a of nav.children) attr(a, 'aria-current', a.dataset.view === key ? 'page' : null);
}

function start() {
  document.documentElement.lang = language();
  keeping(chrome);
  status();
  route();
}

// repaint is for other colours: what is drawn in them is drawn anew, pictures stay.
function repaint() {
  keeping(chrome);
  if (shown === 'cameras') mark(shown);
  else route();
}

// status tells how the connection and the device fare.
function status() {
  const all = store.troubles;
  const worst = !store.alive ? 'failed' : all.some((x) => x.status === 'failed') ? 'failed' : all.length ? 'degraded' : 'ok';
  attr(dot, 'data-status', worst);
  say(word, !store.alive ? t('gone') : t('health.' + worst));
  const h0 = store.hello;
  say(name, h0 ? [h0.name, h0.site].filter(Boolean).join(' · ') : '');
  const lines = [];
  if (!store.alive && store.now) lines.push(h('p.failed', h('strong', t('gone.long')), ' ', t('gone.since', clock(store.now)), ' ', t('gone.again')));
  if (store.alive) {
    for (const x of all) lines.push(h('p', {className: x.status}, h('strong', t('part.' + x.part)), ' ', t.reason(x)));
    if (h0 && h0.unsafe) lines.push(h('p.degraded', t('unsafe')));
    if (Math.abs(store.skew) > 30000) lines.push(h('p.degraded', t('skew', since(Math.abs(store.skew)))));
  }
  const key = JSON.stringify(lines.map((l) => l.textContent));
  if (banner.dataset.key !== key) {
    banner.dataset.key = key;
    banner.replaceChildren(...lines);
    banner.hidden = !lines.length;
  }
  document.body.classList.toggle('gone', !store.alive && store.now > 0);
}

function tick() {
  if (!store.hello) return;
  say(time, clock(store.deviceNow()));
  time.title = t('zone', store.hello.zone);
  if (view && view.tick) view.tick();
}

socket.addEventListener('hello', (e) => {
  const before = store.hello && JSON.stringify(store.hello);
  store.hello = e.detail;
  setZone(e.detail.offset, e.detail.zone);
  if (before === JSON.stringify(e.detail)) return; // the same agent is back
  store.cameras = e.detail.cameras.map(() => null);
  start();
});
socket.addEventListener('state', (e) => {
  const s = e.detail;
  store.now = s.now;
  store.skew = s.now - Date.now();
  for (const c of s.cameras || []) store.cameras[c.i] = c;
  if (s.troubles) store.troubles = s.troubles;
  const noted = s.noted !== store.noted;
  store.noted = s.noted;
  store.alive = true;
  status();
  if (view && view.state) view.state(s.cameras || [], noted);
});
socket.addEventListener('label', ({detail: {i, label, p, since}}) => { // between two states
  const c = store.cameras[i];
  if (c && view && view.state) view.state([Object.assign(c, {label, p, since, seen: true})], false);
});
socket.addEventListener('alive', () => {
  store.alive = socket.alive;
  status();
  if (view && view.alive) view.alive();
});
socket.addEventListener('picture', (e) => { if (view && view.picture) view.picture(e.detail); });
socket.addEventListener('visible', () => { if (view && view.alive) view.alive(); });
window.addEventListener('hashchange', () => { if (location.hash !== at) route(); }); // two quick steps tell the second twice
dark.addEventListener('change', () => { if (shown) repaint(); });
setInterval(tick, 1000);
start();
