// The view of the reasons: scores over time, label changes, and what another threshold would have done.

/* global uPlot */
import {h, button, chooser, table, say, attr, get, paint, css, colour} from './dom.js';
import {t, percent, decimal, whole, since, clock, minute, when} from './text.js';
import {labelOf} from './cameras.js';
import {View, cameraOf} from './view.js';

const mostCurves = 8;
const ribbon = 14; // pixels of the strip that shows which label held

/** show mounts the view; ctx.argument is the camera. */
export const show = (root, ctx) => new Why(root, ctx);

class Why extends View {
  constructor(root, ctx) {
    super(root, ctx, 2000);
    const [names, name] = cameraOf(ctx);
    this.name = name;
    this.index = names.indexOf(name);
    this.span = '15m';
    this.asked = null; // the threshold that is tried; null: the one in force
    this.parts();
    root.replaceChildren(h('h1.hidden', t('view.why')), this.top(names), this.empty, this.body);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.chart);
    this.state();
    this.load();
  }

  stop() {
    super.stop();
    this.watch.disconnect();
    this.plot?.destroy();
  }

  top(names) {
    const spans = ['15m', '24h'].map((s) => button('', t('why.' + s), (e) => {
      this.span = s;
      for (const b of e.target.parentNode.children) attr(b, 'aria-pressed', b === e.target);
      this.drawn = this.replays = null;
      this.loading = false; // what is under way is of the other span
      this.load();
    }, {'aria-pressed': String(s === this.span)}));
    return h('div.bar', chooser('why', names, this.name, t('why.camera')), h('div.segments', {role: 'group', 'aria-label': t('why.span')}, spans), this.verdict);
  }

  parts() {
    this.verdict = h('div.verdict', {'aria-live': 'off'}, h('span.swatch'), this.label = h('strong.label'), this.score = h('span.score'));
    this.empty = h('p.empty', {hidden: true}, t('why.empty'));
    this.chart = h('div.chart');
    this.legend = h('ul.legend', {'aria-label': t('why.others')});
    this.rule = h('p.quiet');
    this.memory = h('p.quiet');
    this.slider = h('input', {type: 'range', min: 0, max: 1, step: 0.01, id: 'try', oninput: () => this.try(Number(this.slider.value))});
    this.tried = h('output', {htmlFor: 'try'});
    this.result = h('p.result', {'aria-live': 'polite'});
    this.compare = h('p.quiet');
    this.over = h('p.quiet');
    this.curve = h('canvas.curve', {role: 'img', 'aria-label': t('why.curve')});
    this.apply = button('.primary', '', () => this.use());
    this.list = h('tbody');
    this.none = h('p.quiet', t('why.none'));
    this.body = h('div.why', {hidden: true},
      h('section.panel.wide', this.chart, this.legend, h('div.notes', this.rule, this.memory)),
      h('section.panel', h('h2', t('why.what')),
        h('label.try', {htmlFor: 'try'}, t('why.try'), this.tried), this.slider,
        this.result, this.compare, h('figure', this.curve, h('figcaption.quiet', t('why.curve'))), this.over,
        this.act ? this.apply : h('p.quiet', t('why.norights')), this.said),
      h('section.panel', h('h2', t('why.changes')), this.none,
        table([t('when'), t('label')], [t('score')], this.list)));
  }

  get camera() { return this.store.cameras[this.index]; }

  get threshold() { return this.asked ?? this.camera?.threshold ?? 0; }

  ask() { return get('/api/history', {camera: this.name, span: this.span}); }

  draw(history) {
    if (history.span !== this.span) return;
    this.history = history;
    const some = (history.t || []).length > 0;
    this.empty.hidden = some;
    this.body.hidden = !some;
    if (!some) return;
    this.drawScores();
    this.changes();
    say(this.memory, t('why.memory', when(history.begin, this.store.deviceNow())));
    if (!this.replays) this.replay();
  }

  state() {
    const c = this.camera;
    if (!c) return;
    say(this.label, c.seen ? labelOf(this.store, c.label) : '–');
    say(this.score, c.seen && c.label >= 0 ? percent(c.p) : '');
    this.verdict.style.setProperty('--class', colour(c.seen ? c.label : -1));
    let rule = t('why.rule', c.confirm, decimal(c.threshold), decimal(Math.max(0, c.threshold - c.hysteresis)));
    if (c.dwell) rule += ' ' + t('why.dwell', since(c.dwell));
    if (c.own?.length) rule += ' ' + t('why.own', c.own.map(([i, v]) => `${labelOf(this.store, i)} ${decimal(v)}`).join(', '));
    if (c.smoothing) rule += ' ' + t('why.smooth', decimal(c.smoothing));
    say(this.rule, rule);
    if (this.asked === null) this.slider.value = c.threshold;
    if (this.inForce !== c.threshold) {
      this.inForce = c.threshold;
      this.plot?.redraw(false);
      if (this.replays) this.replay();
    }
    this.show();
  }

  alive() {
    this.replays = null;
    super.alive();
  }

  // try asks what a threshold would have done; while it is dragged one question at a time is open.
  async try(value) {
    this.asked = value;
    this.show();
    this.plot?.redraw(false);
    if (this.asking) return;
    this.asking = true;
    let last;
    do {
      last = this.asked;
      await this.replay(last);
    } while (last !== this.asked && this.asked !== null);
    this.asking = false;
  }

  async replay(value = this.threshold) {
    try {
      const full = !this.replays || value === this.camera?.threshold;
      const r = await get('/api/replay', {camera: this.name, threshold: value, curve: full ? 1 : 0});
      if (this.stopped) return;
      const [first, ...rest] = r.outcomes || [];
      this.replays = {...r, at: first, curve: rest.length ? rest : this.replays?.curve || []};
      if (value === this.camera?.threshold) this.now = first;
      this.show();
      this.drawCurve();
    } catch (e) {
      this.fails(e);
    }
  }

  show() {
    const value = this.threshold;
    say(this.tried, decimal(value));
    attr(this.slider, 'aria-valuetext', decimal(value));
    say(this.apply, t('why.apply', decimal(value)));
    this.apply.disabled = this.asked === null || this.asked === this.camera?.threshold;
    const r = this.replays;
    if (!r || !r.at || r.at.threshold !== value) return;
    say(this.result, `${t('why.result', whole(r.at.per_hour))}, ${t('why.unknown', percent(r.at.unknown))}`);
    say(this.compare, this.now ? t('why.now', decimal(this.now.threshold), whole(this.now.per_hour)) : '');
    say(this.over, t('why.over', whole(r.frames), since(r.seconds * 1000)));
  }

  async use() {
    const value = this.asked;
    if (await this.does(this.apply, '/api/threshold', {camera: this.name, threshold: value})) {
      say(this.said, t('why.applied', decimal(value)));
      this.asked = null;
      this.slider.focus();
    }
    this.show();
  }

  changes() {
    const {store} = this;
    const all = (this.history.changes || []).slice(-50).reverse();
    const key = all.length ? `${all[0].t} ${all.length}` : '';
    if (key === this.listed) return;
    this.listed = key;
    this.none.hidden = all.length > 0;
    this.list.parentNode.hidden = all.length === 0;
    this.list.replaceChildren(...all.map((c) => h('tr', h('td', when(c.t, store.deviceNow())),
      h('td', h('span.swatch', {vars: {'--own': colour(c.to)}}), labelOf(store, c.to)), h('td.n', c.to < 0 ? '' : percent(c.p)))));
  }

  // drawScores gives the chart the newest rows; classes come and go with what was seen.
  drawScores() {
    const {store} = this;
    const classes = this.history.classes.slice(0, mostCurves);
    const key = classes.map((c) => c.i).join();
    const data = this.rows(classes);
    if (this.plot && key === this.drawn) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.drawn = key;
    const axis = {stroke: css('--quiet'), grid: {stroke: css('--line'), width: 1}, ticks: {stroke: css('--line'), width: 1}, font: `12px ${css('--font')}`};
    this.plot = new uPlot({
      width: this.chart.clientWidth, height: this.height(), legend: {show: false}, cursor: {y: false, points: {size: 7}},
      ms: 1, padding: [10, 12, 0, 0],
      scales: {x: {time: true, range: (u, min, max) => this.range(max)}, y: {range: [0, 1]}},
      axes: [{...axis, values: (u, ticks) => ticks.map(u.scales.x.max - u.scales.x.min < 600000 ? clock : minute), space: 80}, {...axis, size: 56, values: (u, ticks) => ticks.map((v) => percent(v))}],
      series: [{}, ...classes.map((c) => ({
        label: labelOf(store, c.i), stroke: paint(c.i), width: 2, spanGaps: false, points: {show: this.span === '15m' ? undefined : false, size: 4},
      }))],
      hooks: {draw: [(u) => this.lines(u)], setCursor: [(u) => this.point(u, classes)]},
    }, data, this.chart);
    this.point(this.plot, classes);
  }

  // rows are the columns of the chart; a longer silence is a gap.
  rows(classes) {
    const {t: at} = this.history;
    const gap = this.span === '15m' ? 5000 : 180000;
    const x = [], columns = classes.map(() => []);
    this.labels = [];
    at.forEach((ms, i) => {
      if (i > 0 && ms - at[i - 1] > gap) {
        x.push(at[i - 1] + 1);
        columns.forEach((c) => c.push(null));
        this.labels.push(null);
      }
      x.push(ms);
      columns.forEach((c, k) => { const p = classes[k].p[i]; c.push(p < 0 ? 0 : p); });
      this.labels.push(this.history.label[i]);
    });
    return [x, ...columns];
  }

  range(max) {
    const end = Math.max(max || 0, this.store.deviceNow());
    const full = this.span === '15m' ? 900000 : 86400000;
    const first = this.history.t[0];
    return [Math.max(end - full, Math.min(first, end - full / 15)), end];
  }

  height() { return Math.max(220, Math.min(420, Math.round(this.chart.clientWidth * 0.42))); }

  resize() { if (this.plot && this.chart.clientWidth) this.plot.setSize({width: this.chart.clientWidth, height: this.height()}); }

  // lines draws the thresholds and, at the top, the strip of the label that held.
  lines(u) {
    const c = this.camera, {ctx} = u, {left, top, width, height} = u.bbox, ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    const xs = u.data[0];
    for (let i = 0; i < xs.length; i++) {
      if (this.labels[i] === null) continue;
      const from = u.valToPos(xs[i], 'x', true);
      const to = u.valToPos(Math.min(xs[i + 1] ?? xs[i] + 1000, xs[i] + (this.span === '15m' ? 1000 : 60000)), 'x', true);
      ctx.fillStyle = paint(this.labels[i]);
      ctx.fillRect(from, top, Math.max(1, to - from), ribbon * ratio);
    }
    const line = (v, dash, colour, w = 1.5) => {
      const y = u.valToPos(v, 'y', true);
      ctx.strokeStyle = colour;
      ctx.lineWidth = w * ratio;
      ctx.setLineDash(dash.map((d) => d * ratio));
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
    };
    if (c) {
      line(c.threshold, [], css('--text'));
      if (c.hysteresis > 0) line(Math.max(0, c.threshold - c.hysteresis), [2, 4], css('--quiet'), 1);
    }
    if (this.asked !== null) line(this.asked, [8, 5], css('--accent'), 2);
    ctx.restore();
  }

  // point writes the values under the pointer, or the last ones, beside the names of the classes.
  point(u, classes) {
    const {store} = this;
    const i = u.cursor.idx ?? u.data[0].length - 1;
    const rows = classes.map((c, k) => h('li', {vars: {'--own': colour(c.i)}}, h('span.swatch'), labelOf(store, c.i), h('b', u.data[k + 1][i] === null ? '' : percent(u.data[k + 1][i]))));
    rows.unshift(h('li.quiet', u.data[0][i] ? clock(u.data[0][i]) : ''));
    this.legend.replaceChildren(...rows);
  }

  drawCurve() {
    const all = this.replays.curve, canvas = this.curve, ratio = devicePixelRatio;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!all.length || !width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const g = canvas.getContext('2d');
    g.scale(ratio, ratio);
    g.font = `11px ${css('--font')}`;
    const most = Math.max(1, ...all.map((o) => o.per_hour));
    const x = (v) => 4 + v * (width - 8), y = (v) => height - 16 - (v / most) * (height - 32);
    g.fillStyle = css('--line');
    g.fillRect(4, height - 16, width - 8, 1);
    g.strokeStyle = css('--accent');
    g.lineWidth = 2;
    g.beginPath();
    all.forEach((o, i) => (i ? g.lineTo(x(o.threshold), y(o.per_hour)) : g.moveTo(x(o.threshold), y(o.per_hour))));
    g.stroke();
    g.fillStyle = css('--quiet');
    g.textAlign = 'left';
    g.fillText(whole(most), 4, 11);
    g.fillText(decimal(0, 1), 4, height - 3);
    g.textAlign = 'right';
    g.fillText(decimal(1, 1), width - 4, height - 3);
    const at = this.replays.at;
    g.fillStyle = css('--text');
    g.beginPath();
    g.arc(x(at.threshold), y(Math.min(most, at.per_hour)), 5, 0, 7);
    g.fill();
    g.textAlign = at.threshold > 0.8 ? 'right' : 'left';
    g.fillText(whole(at.per_hour), x(at.threshold) + (at.threshold > 0.8 ? -9 : 9), y(Math.min(most, at.per_hour)) + (at.per_hour > most * 0.8 ? 12 : -6));
  }
}
