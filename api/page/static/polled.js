import {say} from './dom.js';
import {t} from './text.js';

/** Polled is a view that draws what its ask() gets, once a second while somebody looks; this.said says what fails. */
export class Polled {
  constructor(ctx) {
    this.ctx = ctx;
    this.timer = setInterval(() => this.load(), 1000);
  }

  stop() { clearInterval(this.timer); this.stopped = true; }

  alive() { this.load(); }

  async load() {
    if (document.hidden || !this.ctx.store.alive || this.loading) return;
    this.loading = true;
    try {
      const found = await this.ask();
      if (!this.stopped) this.draw(found);
    } catch (e) {
      if (this.ctx.store.alive) say(this.said, t('failed', e.message));
    }
    this.loading = false;
  }
}
