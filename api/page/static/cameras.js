// The view of the cameras: what each sees, which label holds, and how sure the network is.

import {h, button, toggle, say, attr, colour} from './dom.js';
import {t, percent, decimal, whole, since} from './text.js';
import {does} from './view.js';

const staleAfter = 5000; // ms: an older picture is not live

/** Picture shows one camera's frames, and asks for the next when it has painted one. */
export class Picture {
  constructor(index, ctx) {
    this.index = index;
    this.ctx = ctx;
    this.number = 0;
    this.time = 0;
    this.network = false;
    this.waiting = 0;
    this.canvas = h('canvas', {width: 16, height: 9, role: 'img'});
    this.crop = h('div.crop', {hidden: true});
    this.age = h('span.age', {hidden: true});
    this.note = h('p.note');
    this.draft = h('div.draft', {hidden: true});
    this.box = h('div.picture', this.canvas, this.crop, this.draft);
    this.el = h('div.stage', this.box, this.note, this.age);
    this.visible = true;
    this.watch = new IntersectionObserver((seen) => {
      this.visible = seen[seen.length - 1].isIntersecting;
      this.next();
    });
    this.watch.observe(this.el);
  }

  stop() { this.watch.disconnect(); this.stopped = true; }

  // next asks for a picture, one at a time. One that never came is asked for again.
  next() {
    const {store, socket} = this.ctx;
    if (this.stopped || !this.visible || document.hidden || !store.alive || !store.hello.pictures) return;
    if (this.waiting && performance.now() - this.waiting < 3000) return;
    this.waiting = performance.now();
    socket.want(this.index, this.network, this.number);
  }

  restart() { this.waiting = 0; this.number = 0; this.next(); }

  toggle(network) {
    this.network = network;
    this.el.classList.toggle('network', network);
    this.restart();
  }

  async paint(p) {
    if (p.network !== this.network) return;
    try {
      const image = await createImageBitmap(p.blob);
      if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
        this.canvas.width = image.width;
        this.canvas.height = image.height;
        this.el.style.setProperty('--ratio', p.width / p.height);
      }
      this.canvas.getContext('2d').drawImage(image, 0, 0);
      image.close();
    } catch { /* the next one may be better */ }
    this.number = p.number;
    this.time = p.time;
    this.frame = p.frame;
    const [left, top, right, bottom] = p.seen;
    this.crop.hidden = p.network || (left < 0.002 && top < 0.002 && right > 0.998 && bottom > 0.998);
    for (const [side, v] of [['left', left], ['top', top], ['right', 1 - right], ['bottom', 1 - bottom]]) {
      this.crop.style.setProperty(side, `${v * 100}%`);
    }
    this.waiting = 0;
    this.refresh();
    this.next();
  }

  // refresh tells how old the picture is, and why there is none.
  refresh() {
    const {store} = this.ctx;
    const c = store.cameras[this.index];
    const age = this.time ? store.deviceNow() - this.time : 0;
    const online = store.alive && c && c.status === 'online';
    const stale = this.time > 0 && (!online || age > staleAfter);
    this.el.classList.toggle('stale', stale);
    this.age.hidden = !stale;
    if (stale) say(this.age, t('picture.age', since(age)));
    let note = '';
    if (!store.hello.pictures) note = t('picture.off');
    else if (c && c.status === 'disabled') note = t('camera.disabled.long');
    else if (c && c.dark) note = t('camera.dark.long');
    else if (c && !online && c.why) note = c.why;
    else if (!this.time && store.alive) note = t('picture.none');
    say(this.note, note);
    this.note.hidden = note === '' || (this.time > 0 && online);
    attr(this.canvas, 'aria-label', t('picture.alt', store.hello.cameras[this.index].name));
  }
}

/** stateWord is how a camera fares: live, stalled, dark, disabled, lost, or gone with the agent. */
export function stateWord(store, c) {
  if (!store.alive) return ['gone', t('gone')];
  if (!c || !c.status) return ['wait', t('camera.wait')];
  if (c.dark) return ['dark', t('camera.dark')];
  return [c.status, t('camera.' + c.status)];
}

/** leastOf is the score below which a class does not count. */
export const leastOf = (c, index) => (c.own?.find(([i]) => i === index) ?? [0, c.threshold])[1];

/** labelOf is the word for a class. */
export function labelOf(store, index) {
  return index < 0 ? store.hello.unknown : store.hello.labels[index] ?? `#${index}`;
}

class Card {
  constructor(index, ctx) {
    this.index = index;
    this.ctx = ctx;
    const {store} = ctx;
    this.info = store.hello.cameras[index];
    this.picture = new Picture(index, ctx);
    this.state = h('span.state');
    this.label = h('strong.label');
    this.score = h('span.score');
    this.since = h('span.quiet');
    this.bars = h('ol.bars', {'aria-label': t('scores')});
    this.rows = [];
    this.facts = h('p.facts.quiet');
    this.counts = h('ul.counts', {'aria-label': t('today')});
    const see = toggle(t('network'), (on) => this.picture.toggle(on), t('network.title'));
    this.power = button('.plain', '', () => this.turn());
    this.yaml = h('div.yaml', {hidden: true});
    this.least = h('div', {hidden: true});
    this.said = h('p', {role: 'status', 'aria-live': 'polite'});
    const limits = toggle(t('limits'), (on) => this.limits(on));
    const draw = toggle(t('region'), (on) => this.region(on), t('region.title'));
    this.el = h('article.card', {'aria-label': this.info.name},
      h('div.head', h('h2', this.info.name), this.state),
      this.picture.el,
      h('div.body',
        h('div.verdict', h('span.swatch'), this.label, this.score, this.since),
        this.bars, this.yaml, this.least, this.counts,
        h('div.foot', this.said, this.facts, h('div.tools',
          h('a.plain', {href: '#why/' + encodeURIComponent(this.info.name)}, t('view.why')),
          store.hello.pictures && see, store.hello.pictures && draw, store.hello.act && limits, store.hello.act && this.power))));
    this.update();
  }

  stop() { this.picture.stop(); }

  turn() { does(this.said, this.power, '/api/enabled', {camera: this.info.name, on: !this.ctx.store.cameras[this.index].on}); }

  update() {
    const {store} = this.ctx;
    const c = store.cameras[this.index];
    const [state, text] = stateWord(store, c);
    attr(this.state, 'data-state', state);
    say(this.state, text);
    attr(this.el, 'data-state', state);
    this.picture.refresh();
    if (!c) return;
    this.el.style.setProperty('--class', colour(c.seen ? c.label : -1));
    say(this.label, c.seen ? labelOf(store, c.label) : '–');
    this.label.classList.toggle('none', c.label < 0);
    say(this.score, c.seen && c.label >= 0 ? percent(c.p) : '');
    this.drawBars(c);
    const fps = store.deviceNow() - c.t > staleAfter ? 0 : c.fps;
    say(this.facts, c.seen ? t('camera.facts', decimal(fps, 1), decimal(c.ms, 1), percent(c.threshold)) : '');
    this.drawCounts(c);
    if (!this.least.hidden) for (const r of this.rowsOf) r.update();
    say(this.power, c.on ? t('turn.off') : t('turn.on'));
    this.tick();
  }

  // drawBars keeps its rows, so that a bar moves instead of being another one.
  drawBars(c) {
    const {store} = this.ctx;
    while (this.rows.length < c.top.length) {
      const row = {name: h('span.name'), bar: h('span.fill'), value: h('span.value')};
      row.el = h('li', row.name, h('span.track', row.bar, h('span.threshold', {title: t('threshold')})), row.value);
      this.rows.push(row);
      this.bars.append(row.el);
    }
    while (this.rows.length > c.top.length) this.rows.pop().el.remove();
    c.top.forEach(([index, score], i) => {
      const row = this.rows[i];
      say(row.name, labelOf(store, index));
      say(row.value, percent(score));
      row.bar.style.setProperty('--share', score);
      row.bar.style.setProperty('--own', colour(index));
      row.el.classList.toggle('holds', index === c.label);
      const least = leastOf(c, index);
      row.el.style.setProperty('--threshold', `${least * 100}%`);
      row.el.classList.toggle('above', score >= least);
    });
  }

  // limits lets each class have a threshold of its own: a row each, in an order that stays.
  limits(on) {
    this.least.hidden = !on;
    if (!on) return;
    const {store} = this.ctx;
    const row = (label, i) => {
      let later = 0; // an arrow key that is held changes it many times
      const moves = () => { clearTimeout(later); later = -1; say(out, percent(Number(range.value))); };
      const set = async (threshold) => {
        await does(this.said, off, '/api/threshold/label', {camera: this.info.name, label, threshold});
        later = 0;
        update();
      };
      const out = h('output'), range = h('input', {type: 'range', min: 0, max: 1, step: 0.01, 'aria-label': `${t('threshold')}: ${label}`,
        oninput: moves, onchange: () => { moves(); later = setTimeout(() => set(Number(range.value)), 300); }});
      const off = button('.plain', '×', () => { range.focus(); set(null); }, {title: t('limits.off'), 'aria-label': `${t('limits.off')}: ${label}`});
      const update = () => {
        const c = store.cameras[this.index], own = (c?.own || []).some(([k]) => k === i);
        if (!c || later) return;
        range.value = leastOf(c, i);
        say(out, percent(leastOf(c, i)));
        off.disabled = !own;
      };
      return {el: h('li', h('span.name', {title: label}, label), range, out, off), update};
    };
    this.rowsOf = store.hello.labels.map(row);
    this.least.replaceChildren(h('p.quiet', t('limits.what')), h('ul.limits', this.rowsOf.map((r) => r.el)));
    for (const r of this.rowsOf) r.update();
  }

  drawCounts(c) {
    const {store} = this.ctx;
    const all = c.began || [], key = all.join();
    if (key === this.counted) return;
    this.counted = key;
    this.counts.replaceChildren(h('li.quiet', t('today')), ...all.map(([i, n]) =>
      h('li', {vars: {'--own': colour(i)}}, h('span.swatch'), labelOf(store, i), h('b', whole(n)))),
    ...(all.length ? [] : [h('li.quiet', t('today.none'))]));
  }

  tick() {
    const {store} = this.ctx;
    const c = store.cameras[this.index];
    if (c && c.seen) say(this.since, t('since', since(store.deviceNow() - c.since)));
    this.picture.refresh();
    this.picture.next();
  }

  // region lets a part of the picture be drawn with the pointer or said in numbers, and shows its line for the settings.
  region(on) {
    const {picture} = this;
    picture.el.classList.toggle('drawing', on);
    this.yaml.hidden = !on;
    picture.draft.hidden = true;
    if (!on) {
      picture.el.onpointerdown = null;
      return;
    }
    const out = h('code', {tabIndex: 0}, t('region.how'));
    const copy = button('', t('copy'), async () => {
      try {
        await navigator.clipboard.writeText(out.textContent);
        say(copy, t('copied'));
      } catch {
        getSelection().selectAllChildren(out); // without HTTPS the browser does not copy by itself
      }
    }, {disabled: true});
    const sides = ['left', 'top', 'width', 'height'];
    const choose = (r) => {
      sides.forEach((side, i) => picture.draft.style.setProperty(side, `${r[i] * 100}%`));
      picture.draft.hidden = copy.disabled = !(r[2] >= 0.01 && r[3] >= 0.01 && r[0] + r[2] <= 1 && r[1] + r[3] <= 1);
      if (copy.disabled) return;
      say(out, regionYAML(this.info, r));
      say(copy, t('copy'));
    };
    const fields = sides.map((side, i) => h('input', {type: 'number', min: 0, max: 100, step: 0.1, value: 50 * (i > 1),
      oninput: () => choose(fields.map((f) => f.value / 100))}));
    this.yaml.replaceChildren(h('div.sides', fields.map((f, i) => h('label', t('region.' + sides[i]), f))), out, copy);
    picture.el.onpointerdown = (down) => {
      down.preventDefault();
      const box = picture.canvas.getBoundingClientRect();
      const at = (e) => [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height].map((v) => Math.min(1, Math.max(0, v)));
      const [x0, y0] = at(down);
      const move = (e) => {
        const [x1, y1] = at(e);
        const r = [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
        r.forEach((v, i) => { fields[i].value = (v * 100).toFixed(1); });
        choose(r);
      };
      picture.el.setPointerCapture(down.pointerId);
      picture.el.onpointermove = move;
      picture.el.onpointerup = () => { picture.el.onpointermove = null; };
    };
  }
}

/** regionYAML is the setting for a part of what a card shows; the picture of a region is a part of the whole already. */
export function regionYAML(info, [left, top, width, height]) {
  if (info.region) {
    const [l, t0, w, h0] = info.region;
    [left, top, width, height] = [l + left * w, t0 + top * h0, width * w, height * h0];
  }
  const numbers = [left, top, width, height].map((v) => info.region && info.pixels ? Math.round(v) : Math.round(v * 1000) / 1000);
  return `roi: [part ${numbers.join(' ')}]`;
}

/** show mounts the view. */
export function show(root, ctx) {
  const cards = ctx.store.hello.cameras.map((_, i) => new Card(i, ctx));
  root.replaceChildren(h('h1.hidden', t('view.cameras')), h('div.cards', {'data-n': cards.length}, cards.map((c) => c.el)));
  for (const c of cards) c.picture.next();
  return {
    stop() { for (const c of cards) c.stop(); },
    state(news) {
      for (const c of news) if (cards[c.i]) cards[c.i].update();
      for (const c of cards) c.picture.next();
    },
    alive() { for (const c of cards) { c.picture.restart(); c.update(); } },
    tick() { for (const c of cards) c.tick(); },
    picture(p) { if (cards[p.camera]) cards[p.camera].picture.paint(p); },
  };
}
