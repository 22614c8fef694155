// The view of the channels: how unusual what the attention blocks do with a frame is.

import {h, chooser, say, get, css} from './dom.js';
import {View, cameraOf} from './view.js';
import {t, whole} from './text.js';

const rows = 60; // frames of a strip, one a second
const tall = 2; // pixels of a frame

/** show mounts the view; ctx.argument is the camera. */
export const show = (root, ctx) => new Channels(root, ctx);

class Channels extends View {
  constructor(root, ctx) {
    super(root, ctx, 1000);
    const [names, name] = cameraOf(ctx);
    this.name = name;
    this.after = 0;
    this.said.className = 'empty';
    say(this.said, t('channels.none'));
    this.seen = h('p.quiet');
    this.strips = h('div.strips');
    this.panel = h('section.panel', {hidden: true}, h('p', t('channels.what')), h('div.scale', {'aria-hidden': 'true'}), this.strips, this.seen);
    root.replaceChildren(h('h1.hidden', t('view.channels')), h('div.bar', chooser('channels', names, this.name, t('why.camera'))), this.said, this.panel);
    this.load();
  }

  ask() { return get('/api/channels', {camera: this.name, after: this.after}); }

  draw(s) {
    const key = s.blocks.join();
    if (s.blocks.length === 0) say(this.said, s.why || t('channels.none'));
    if (key !== this.key) {
      this.key = key;
      this.blocks = s.blocks.map((n, i) => ({title: h('h2'), canvas: h('canvas', {width: n, height: rows * tall, role: 'img', 'aria-label': t('channels.block', i + 1, n, '–')})}));
      for (const b of this.blocks) b.canvas.style.height = `${rows * tall}px`;
      this.strips.replaceChildren(...this.blocks.map((b) => h('div', b.title, b.canvas)));
    }
    if (!s.frames.length) return;
    this.panel.hidden = false;
    this.said.hidden = true;
    this.after = s.frames[s.frames.length - 1].t;
    const grey = css('--hover');
    for (const f of s.frames) {
      const z = atob(f.z);
      let at = 0;
      s.blocks.forEach((n, i) => {
        const {canvas, title} = this.blocks[i], g = canvas.getContext('2d');
        g.drawImage(canvas, 0, -tall);
        for (let k = 0; k < n; k++) {
          const v = (z.charCodeAt(at + k) - 128) / 127;
          g.fillStyle = grey;
          g.fillRect(k, (rows - 1) * tall, 1, tall);
          g.fillStyle = `hsl(${v > 0 ? '15 85% 48%' : '215 85% 45%'} / ${Math.abs(v)})`;
          g.fillRect(k, (rows - 1) * tall, 1, tall);
        }
        at += n;
        say(title, t('channels.block', i + 1, whole(n), whole(f.unusual[i])));
        canvas.setAttribute('aria-label', title.textContent);
      });
    }
    say(this.seen, s.pictures ? t('channels.calibration', whole(s.pictures)) : t('channels.mean', whole(s.seen)));
  }
}
