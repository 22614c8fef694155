// Words and numbers. The words of a language are a file, of which a browser loads one.

export const languages = {en: 'English', de: 'Deutsch'};

const load = async (code) => (await import(`./words.${code}.js`)).default;
let current = choose();
let words = await load(current);

function choose() {
  try {
    const kept = localStorage.getItem('language');
    if (languages[kept]) return kept;
  } catch { /* the browser's */ }
  const wish = (navigator.languages || [navigator.language]).map((l) => l.slice(0, 2)).find((l) => languages[l]);
  return wish || 'en';
}

export const language = () => current;

export async function setLanguage(code) {
  words = await load(code);
  current = code;
  try { localStorage.setItem('language', current); } catch { /* it holds for this page alone */ }
}

/** t is a text with its {0} and {1} filled in. A key without one is shown as it is. */
export function t(key, ...values) {
  const text = words[key] ?? key;
  return text.replace(/\{(\d)\}/g, (_, i) => values[i] ?? '');
}

/** has reports whether there is such a text. */
t.has = (key) => key in words;
t.reason = (x) => (x.part === 'broker' ? t('broker.away', x.reason) : x.reason);

const number = (digits) => new Intl.NumberFormat(current, {minimumFractionDigits: digits, maximumFractionDigits: digits});

export const percent = (v) => number(v > 0 && v < 0.1 ? 1 : 0).format(v * 100) + (current === 'de' ? ' %' : '%');
export const decimal = (v, digits = 2) => number(digits).format(v);
export const whole = (v) => number(0).format(v);

/** since is a duration in ms in one or two units. */
export function since(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return t('unit.s', s);
  if (s < 3600) return s < 600 ? `${t('unit.min', Math.floor(s / 60))} ${t('unit.s', s % 60)}` : t('unit.min', Math.round(s / 60));
  if (s < 86400) return `${t('unit.h', Math.floor(s / 3600))} ${t('unit.min', Math.floor((s % 3600) / 60))}`;
  return `${t('unit.d', Math.floor(s / 86400))} ${t('unit.h', Math.floor((s % 86400) / 3600))}`;
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${number(i > 0 && n < 10 ? 1 : 0).format(n)} ${units[i]}`;
}

let offset = 0;
export function setZone(seconds) { offset = seconds * 1000; }

// Times are those of the device: shifted by its zone and written as UTC.
const local = (ms, options) => new Intl.DateTimeFormat(current, {timeZone: 'UTC', ...options}).format(new Date(ms + offset));

export const clock = (ms) => local(ms, {hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false});
export const minute = (ms) => local(ms, {hour: '2-digit', minute: '2-digit', hour12: false});

/** when is the time, with the date where it is not today's. */
export function when(ms, now) {
  const day = (v) => Math.floor((v + offset) / 86400000);
  return day(ms) === day(now) ? clock(ms) : `${local(ms, {day: 'numeric', month: 'short'})} ${clock(ms)}`;
}
