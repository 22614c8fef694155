// The view of teaching: from marked pictures to a network that knows them, and back.

import {h, button, table, say, get, colour} from './dom.js';
import {View} from './view.js';
import {t, percent, whole, since} from './text.js';

const enough = 20; // pictures of a label

/** compared tells how often a new model and the one before gave the same label. */
export const compared = (u) => t('update.agreed', whole(u.agreed || 0), whole(u.common || 0));

/** show mounts the view. */
export const show = (root, ctx) => new Teach(root, ctx);

class Teach extends View {
  constructor(root, ctx) {
    super(root, ctx, 1000);
    this.flip = h('input', {type: 'checkbox', id: 'flip'});
    this.parts = Object.fromEntries(['labels', 'run', 'report'].map((k) => [k, h('div')]));
    this.report = h('section.panel.wide.first', {hidden: true}, h('h2', t('teach.report')), this.parts.report);
    root.replaceChildren(h('h1.hidden', t('view.teach')), this.said, h('div.why',
      h('section.panel', h('h2', t('teach.labels')), this.parts.labels),
      h('section.panel', h('h2', t('teach.run')), this.parts.run), this.report));
    this.load();
  }

  async ask() {
    const l = await get('/api/teach');
    const ended = ['done', 'missed'].includes(l.state) && `${l.state} ${l.ended}`;
    if (ended && ended !== this.ended) this.found = await get('/api/teach/report');
    this.ended = ended;
    return l;
  }

  // draw shows what has changed, so that no button moves from under a finger.
  draw(l) {
    const put = (key, of, make) => {
      const now = JSON.stringify(of);
      if (this.parts[key].dataset.of === now) return;
      this.parts[key].dataset.of = now;
      this.parts[key].replaceChildren(...[make()].flat().filter(Boolean));
    };
    put('labels', l.labels, () => this.drawLabels(l, this.hello.labels));
    const {ended, began, ...run} = l;
    put('run', run, () => this.drawRun(l));
    if (l.state === 'running') say(this.time, since(this.store.deviceNow() - began));
    this.report.hidden = !this.ended;
    if (this.ended) put('report', [this.ended, l.models, l.sha256, l.update], () => this.drawReport(l, this.found));
  }

  drawLabels(l, known) {
    if (l.off) return h('p.empty', t(l.off === 'samples.dir' ? 'pictures.off' : l.off));
    return [h('ul.bars.marks', l.labels.map((x) => h('li', {className: x.marks ? 'above' : ''},
      h('span.name', {title: x.label}, h('span.swatch', {vars: {'--own': colour(known.indexOf(x.label))}}), ' ', x.label),
      h('span.track', h('span.fill', {vars: {'--share': Math.min(1, x.marks / enough), '--own': x.marks < enough ? 'var(--warn)' : 'var(--ok)'}})),
      h('span.value', x.known ? whole(x.marks) : `${whole(x.marks)} · ${t('teach.new')}`)))),
    h('p.quiet', t('teach.enough', enough)), h('a.plain', {href: '#pictures'}, t('teach.mark'))];
  }

  // lacks says what has to be done before anything can be taught; empty: nothing.
  lacks(l) {
    const without = l.labels.filter((x) => x.known && !x.marks).map((x) => x.label);
    if (!l.labels.some((x) => x.marks)) return t('teach.nothing');
    if (without.length && !l.stored) return t('teach.without', without.join(', '));
    return '';
  }

  drawRun(l) {
    if (l.off) return h('p.quiet', t('teach.what'));
    if (l.state === 'running') {
      const bar = h('progress', {max: 1, 'aria-label': t('teach.run')});
      if (l.share >= 0) bar.value = l.share;
      return [h('p.result', l.step ? t('teach.step', l.step, l.steps, t.has('teach.' + l.what) ? t('teach.' + l.what) : l.what) : t('teach.starting')), bar,
        this.time = h('p.quiet'), h('p.quiet', t('teach.goes')), this.act && button('', t('teach.stop'), (e) => this.does(e.target, '/api/teach/stop', {}))];
    }
    const lacks = this.lacks(l);
    return [h('p', t('teach.what')), l.state === 'failed' && h('p.error', t('failed', l.says)), l.state === 'stopped' && h('p.quiet', t('teach.stopped')),
      lacks && h('p', {id: 'lacks'}, lacks),
      this.act ? [h('p', h('label', {htmlFor: 'flip'}, this.flip, ' ', t('teach.flip'))),
        button('.primary', t('teach.go'), (e) => this.does(e.target, '/api/teach', {flip: this.flip.checked}), {disabled: lacks !== ''})]
        : h('p.quiet', t('why.norights'))].flat();
  }

  drawReport(l, r) {
    const after = r.after, share = (s) => `${percent(s.value)} (${percent(s.low)}–${percent(s.high)})`;
    const before = after.against && after.against.top1;
    const pictures = (all) => h('div.tiles', all.slice(0, 12).map((m) => h('figure.tile',
      h('img', {loading: 'lazy', alt: t('pictures.alt', m.label, ''), src: '/api/samples/picture?' + new URLSearchParams({name: m.file, small: 1})}),
      h('span.line', h('b', m.label), ' → ', m.answer, ' ', percent(m.score)))));
    return [h('p.result', {className: `result ${l.state}`}, r.verdict), this.acts(l),
      h('p.quiet', t('teach.made', whole(r.pictures), whole(r.groups)), ' ', after.top1 ? t('teach.top1', share(after.top1)) : '', ' ', before ? t('teach.before', share(before)) : ''),
      table([t('label')], [t('teach.pictures'), t('teach.found'), t('teach.right')], (after.classes || []).map((c) => h('tr',
        h('td', c.label, r.added?.includes(c.label) && h('span.pill', t('teach.new'))), h('td.n', whole(c.recall.of)), h('td.n', percent(c.recall.value)), h('td.n', percent(c.precision.value))))),
      after.confusions?.length > 0 && h('p', t('teach.mixed'), ' ', after.confusions.slice(0, 5).map((m) => `${r.labels[m.from]} → ${r.labels[m.to] ?? '?'} (${m.pictures})`).join(', ')),
      r.learning_curve?.length > 0 && h('p', t('teach.curve'), ' ', r.learning_curve.map((p) => `${whole(p.pictures)}: ${percent(p.top1.value)}`).join(' · ')),
      (r.findings || []).map((f) => h('p.quiet', `${f.evidence}. ${f.cure}.`)),
      r.doubted?.length > 0 && [h('h2', t('teach.doubted')), pictures(r.doubted)],
      after.worst?.length > 0 && [h('h2', t('teach.worst')), pictures(after.worst)],
      h('a.plain', {href: '/api/teach/report.html', download: 'teaching.html'}, t('teach.file'))].flat(2);
  }

  // acts are what follows from a report: let it run, or go back.
  acts(l) {
    if (l.state === 'missed') return h('p', t('teach.missed'));
    const mine = (l.models || []).find((m) => m.sha256 === l.sha256), back = (l.models || []).find((m) => m.before);
    const act = (kind, word, path, ...values) => this.act && button(kind, t(word, ...values), (e) => this.does(e.target, path, {}, 'activate.wait'));
    if (l.note) return h('p.quiet', l.note === 'model.bundle' ? t('models.configured') : l.note);
    if (!mine || !mine.active) return h('p', act('.primary', 'teach.use', '/api/teach/use'));
    const u = l.update.sha256 === l.sha256 ? l.update : {};
    return [h('p', {id: 'runs'}, u.state === 'shadow' ? t('update.shadow') : t(mine.on_trial ? 'teach.trial' : 'teach.runs'), u.pairs > 0 && ` ${compared(u)}`), back && h('p', act('', 'rollback', '/api/model/rollback', `${back.name} ${back.version}`))];
  }

  async does(...asked) {
    await super.does(...asked);
    this.load();
  }
}
