// The view of the kept pictures: filter, choose several, say what they show, take bad ones away.

import {h, button, say, attr, get, post, colour} from './dom.js';
import {t, percent, whole, when} from './text.js';
import {View} from './view.js';

const keys = '1234567890abcefghijklmopqrstuvwxyz'; // a key for each label; d, n are left for deleting and none

const atOnce = 100; // names in one request
const mostButtons = 60; // labels beyond are typed

/** show mounts the view. */
export const show = (root, ctx) => new Pictures(root, ctx);

class Pictures extends View {
  constructor(root, ctx) {
    super(root, ctx);
    this.filter = {order: 'uncertain', marked: 'no', camera: '', label: '', below: ''};
    this.chosen = new Set();
    this.samples = [];
    this.count = h('span.quiet');
    this.grid = h('div.tiles', {role: 'group', 'aria-label': t('view.pictures'), onkeydown: (e) => this.key(e)});
    this.empty = h('div.empty', {hidden: true});
    this.more = button('', t('pictures.more'), () => this.load(this.samples.length), {hidden: true});
    this.labels = h('div.palette');
    this.list = h('datalist', {id: 'labels'});
    this.other = h('input', {type: 'text', list: 'labels', placeholder: t('pictures.other'), 'aria-label': t('pictures.other'), maxLength: 200});
    this.tools = h('div.dock', {hidden: true, onkeydown: (e) => e.key === 'Escape' && this.leave()}, this.counted = h('strong'), this.labels,
      h('form', {onsubmit: (e) => { e.preventDefault(); if (this.other.value.trim()) this.mark(this.other.value.trim()); }}, this.other, this.list),
      button('', t('pictures.unmark'), () => this.mark(null), {title: 'n'}),
      button('.danger', t('pictures.delete'), () => this.remove(), {title: 'Delete'}),
      button('', t('pictures.none'), () => this.leave(), {title: 'Esc'}));
    this.filters = h('div.bar');
    root.replaceChildren(h('h1.hidden', t('view.pictures')), this.filters, this.said, this.empty, this.grid, this.more, this.tools);
    this.bar([]);
    this.load();
  }

  alive() {} // what was chosen stays

  select(key, options) {
    return h('select', {'aria-label': t('pictures.by.' + key), onchange: (e) => { this.filter[key] = e.target.value; this.load(); }},
      options.map(([value, text]) => h('option', {value, selected: value === this.filter[key]}, text)));
  }

  bar(labels) {
    const key = labels.join('\n');
    if (key === this.barred) return;
    this.barred = key;
    this.filters.replaceChildren(
      this.select('marked', [['no', t('pictures.todo')], ['yes', t('pictures.done')], ['', t('pictures.all')]]),
      this.select('order', [['uncertain', t('pictures.uncertain')], ['different', t('pictures.different')], ['newest', t('pictures.newest')]]),
      this.select('label', [['', t('pictures.anylabel')], ...labels.map((l) => [l, l])]),
      this.select('camera', [['', t('pictures.anycamera')], ...this.hello.cameras.map((c) => [c.name, c.name])]),
      this.select('below', [['', t('pictures.anyscore')], ...['0.9', '0.7', '0.5'].map((v) => [v, t('pictures.under', percent(Number(v)))])]),
      button('.plain', t('pictures.every'), () => this.every(), {title: 'Ctrl+A'}), this.count,
      h('a.plain.last', {href: '/api/samples.zip', download: 'samples.zip'}, t('pictures.zip')));
  }

  async load(offset = 0) {
    if (!this.hello.samples) {
      this.nothing(t(this.hello.pictures ? 'pictures.off' : 'picture.off'));
      this.filters.hidden = true;
      return;
    }
    const turn = this.turn = (this.turn || 0) + 1;
    try {
      const r = await get('/api/samples', {...this.filter, offset});
      if (this.stopped || turn !== this.turn) return; // another filter was chosen since
      this.names = r.labels;
      this.bar(r.labels);
      this.samples = offset ? this.samples.concat(r.samples) : r.samples;
      if (!offset) this.chosen.clear();
      say(this.count, t('pictures.count', whole(r.found), whole(r.total), whole(r.marked)));
      this.more.hidden = this.samples.length >= r.found;
      this.draw();
      this.nothing(r.found ? '' : t(r.total ? 'pictures.nomatch' : 'pictures.empty'));
    } catch (e) {
      say(this.said, t('failed', e.message));
    }
  }

  nothing(text) {
    say(this.empty, text);
    this.empty.hidden = text === '';
  }

  draw() {
    const now = this.store.deviceNow();
    this.tiles = this.samples.map((s, i) => {
      const best = s.top[0] || {label: s.label, score: 0, index: -1};
      const index = this.hello.labels.indexOf(best.label);
      return h('button.tile', {type: 'button', tabIndex: i ? -1 : 0, 'aria-pressed': 'false', onclick: (e) => this.click(i, e), ondblclick: () => this.full(i)},
        h('img', {loading: 'lazy', alt: t('pictures.alt', best.label, s.camera), src: this.address(s) + '&small=1'}),
        h('span.line', h('span.swatch', {vars: {'--own': colour(index)}}), h('b', best.label), percent(best.score)),
        h('span.line.quiet', `${s.camera} · ${when(Date.parse(s.ts), now)}`),
        s.marked && h('span.right', s.right));
    });
    this.grid.replaceChildren(...this.tiles);
    this.refresh();
  }

  address(s) { return '/api/samples/picture?' + new URLSearchParams({name: s.name}); }

  // full shows a picture as it was kept.
  full(i) { open(this.address(this.samples[i]), '_blank', 'noopener'); }

  click(i, e) {
    if (e.shiftKey && this.last !== undefined) {
      for (let k = Math.min(i, this.last); k <= Math.max(i, this.last); k++) this.chosen.add(this.samples[k].name);
    } else this.toggle(i);
    this.last = i;
    this.focus(i);
    this.refresh();
  }

  every() {
    for (const s of this.samples) this.chosen.add(s.name);
    this.refresh();
  }

  toggle(i) {
    const name = this.samples[i].name;
    if (!this.chosen.delete(name)) this.chosen.add(name);
  }

  focus(i) {
    const tile = this.tiles[Math.max(0, Math.min(this.tiles.length - 1, i))];
    if (!tile) return;
    for (const x of this.tiles) x.tabIndex = x === tile ? 0 : -1;
    tile.focus();
  }

  // leave chooses nothing any more, and goes back to the pictures.
  leave() {
    this.chosen.clear();
    this.refresh();
    this.focus(this.last ?? 0);
  }

  refresh() {
    (this.tiles || []).forEach((tile, i) => attr(tile, 'aria-pressed', this.chosen.has(this.samples[i].name)));
    this.tools.hidden = !this.act || this.chosen.size === 0;
    say(this.counted, t('pictures.chosen', whole(this.chosen.size)));
    const key = (this.names || []).join('\n');
    if (key !== this.palette) {
      this.palette = key;
      this.labels.replaceChildren(...this.names.slice(0, mostButtons).map((label, i) => h('button', {type: 'button', onclick: () => this.mark(label), vars: {'--own': colour(this.hello.labels.indexOf(label))}},
        h('span.swatch'), label, keys[i] && h('kbd', keys[i]))));
      this.list.replaceChildren(...this.names.map((value) => h('option', {value})));
    }
  }

  key(e) {
    const i = this.tiles.indexOf(document.activeElement);
    if (e.key === 'a' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      this.every();
    }
    if (i < 0 || e.ctrlKey || e.altKey || e.metaKey) return;
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(' ').length;
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -i, End: this.tiles.length}[e.key];
    if (step !== undefined) {
      e.preventDefault();
      this.focus(i + step);
      return;
    }
    if (e.key === 'Escape') this.chosen.clear();
    else if (e.key === 'Enter') {
      e.preventDefault(); // the space bar chooses
      this.full(i);
    } else if (this.act) {
      const label = this.names[keys.indexOf(e.key)];
      if (!this.chosen.size && (label || e.key === 'Delete' || e.key === 'n')) this.toggle(i);
      if (label && keys.includes(e.key)) this.mark(label);
      else if (e.key === 'n') this.mark(null);
      else if (e.key === 'Delete') this.remove();
    }
    this.refresh();
  }

  mark(label) {
    return this.send('/api/samples/mark', label === null ? {} : {label}, label === null ? 'pictures.unmarked' : 'pictures.marked', label);
  }

  remove() {
    if (confirm(t('pictures.sure', whole(this.chosen.size)))) this.send('/api/samples/delete', {}, 'pictures.deleted');
  }

  async send(path, more, done, label) {
    const names = [...this.chosen];
    const at = this.samples.findIndex((s) => this.chosen.has(s.name));
    try {
      for (let i = 0; i < names.length; i += atOnce) await post(path, {names: names.slice(i, i + atOnce), ...more});
      this.other.value = '';
      await this.load();
      say(this.said, t(done, whole(names.length), label));
      this.focus(at);
    } catch (e) {
      say(this.said, t('failed', e.message));
    }
  }
}
