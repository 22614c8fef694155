// What the views have in common.

import {h, post, say} from './dom.js';
import {t} from './text.js';

/** View draws what its ask() gets, again and again while somebody looks; this.said tells what came of an act. */
export class View {
  constructor(root, ctx, every) {
    Object.assign(this, {root, ctx, store: ctx.store, hello: ctx.store.hello, act: ctx.store.hello.act});
    this.said = h('p', {role: 'status', 'aria-live': 'polite'});
    if (every) this.timer = setInterval(() => this.load(), every);
  }

  stop() { clearInterval(this.timer); this.stopped = true; }

  alive() { this.load(); }

  fails(e) { if (this.store.alive) say(this.said, t('failed', e.message)); }

  async load() {
    if (document.hidden || !this.store.alive || this.loading) return;
    this.loading = true;
    try {
      const found = await this.ask();
      if (!this.stopped) this.draw(found);
    } catch (e) {
      this.fails(e);
    }
    this.loading = false;
  }

  does(...asked) { return does(this.said, ...asked); }
}

/** does makes the agent do something. Meanwhile the button rests; whoever was at it with the keyboard stays there. */
export async function does(said, button, path, body, wait) {
  const at = document.activeElement === button;
  button.disabled = true;
  say(said, wait ? t(wait) : '');
  try {
    await post(path, body);
    say(said, '');
    return true;
  } catch (e) {
    say(said, t('failed', e.message));
    return false;
  } finally {
    button.disabled = false;
    if (at && document.activeElement === document.body) button.focus();
  }
}

/** cameraOf is the camera that a view is asked for, else the first. */
export const cameraOf = (ctx) => {
  const names = ctx.store.hello.cameras.map((c) => c.name);
  return [names, names.includes(ctx.argument) ? ctx.argument : names[0]];
};
