// Words and numbers, in English and German.

export const languages = {en: 'English', de: 'Deutsch'};

const words = {
  en: {
    'view.cameras': 'Cameras', 'view.why': 'Why', 'view.pictures': 'Pictures', 'view.device': 'Device',
    language: 'Language', colours: 'Colours', 'theme.auto': 'as the system', 'theme.light': 'light', 'theme.dark': 'dark',
    login: 'Log in to act', logout: 'Log out', skip: 'Skip to the content', connection: 'How the device fares', connecting: 'Connecting to the agent …',
    zone: 'Time of the device, {0}',
    gone: 'agent gone', 'gone.long': 'The agent does not answer.', 'gone.since': 'Its last word came at {0}.',
    'gone.again': 'What is shown is from then. The page comes back by itself.',
    unsafe: 'This page comes without TLS: whoever is on the network can read along. Set http.tls.',
    skew: 'The clock of the device is {0} off the one of this computer.',
    'health.ok': 'all well', 'health.degraded': 'needs attention', 'health.failed': 'failed',
    'part.cameras': 'Cameras', 'part.broker': 'Broker', 'part.queue': 'Queue', 'part.model': 'Model', 'part.engine': 'Engine',
    'part.thermal': 'Heat', 'part.disk': 'Disk', 'part.clock': 'Clock', 'part.start': 'Starting',
    'broker.away': 'not connected: messages wait on the device. {0}',
    'camera.online': 'live', 'camera.offline': 'no connection', 'camera.stalled': 'stalled', 'camera.disabled': 'switched off',
    'camera.dark': 'dark', 'camera.wait': 'opening',
    'camera.disabled.long': 'This camera is switched off.', 'camera.dark.long': 'There is nothing to be seen: is there light, is the lens free?',
    'camera.facts': '{0} frames/s · {1} ms to the decision · threshold {2}',
    'picture.none': 'Waiting for the first picture …', 'picture.off': 'Pictures are switched off here (http.pictures).',
    'picture.age': '{0} old', 'picture.alt': 'What camera {0} sees',
    scores: 'Scores, best first', threshold: 'Threshold', since: 'for {0}', today: 'Today', 'today.none': 'nothing yet',
    network: 'As the network sees it', 'network.title': 'The picture after cropping and resizing, pixel by pixel',
    region: 'Draw a region', 'region.title': 'Choose a part of the picture and copy its setting', 'region.how': 'Drag over the picture.',
    copy: 'Copy', copied: 'Copied', 'turn.on': 'Switch on', 'turn.off': 'Switch off',
    'why.camera': 'Camera', 'why.15m': '15 minutes', 'why.24h': '24 hours', 'why.span': 'Span',
    'why.empty': 'Nothing has been classified yet. As soon as the camera delivers, its scores are drawn here.',
    'why.memory': 'Kept in memory since {0}; a restart forgets it.',
    'why.rule': 'A label holds after {0} frames in a row with a score of at least {1}. The one that holds may fall to {2}.',
    'why.dwell': 'It stays at least {0}.', 'why.smooth': 'Scores are smoothed by {0}.',
    'why.what': 'What would another threshold have done?', 'why.try': 'Try a threshold',
    'why.result': '{0} label changes an hour', 'why.now': 'in force: {0} with {1} changes an hour', 'why.unknown': 'without a label {0} of the time',
    'why.over': 'Decided anew on the last {0} frames, {1}.', 'why.apply': 'Apply {0}', 'why.applied': 'In force: {0}',
    'why.norights': 'You may look here, not change. To act, log in with the code of http.act_token_file.',
    'why.curve': 'Label changes an hour at each threshold', 'why.changes': 'Last label changes', 'why.none': 'The label has not changed yet.',
    'why.more': 'and what is below', 'why.others': 'Classes',
    'pictures.off': 'No pictures are kept. Set samples.dir to a folder: what the network is unsure of is then kept there, for you to say what it shows.',
    'pictures.empty': 'No picture was worth keeping yet. What the network is unsure of, and where the label changes, comes here by itself.',
    'pictures.nomatch': 'No picture is like that. Choose another filter.',
    'pictures.marked': '{0} marked: {1}', 'pictures.unmarked': '{0} no longer marked', 'pictures.deleted': '{0} deleted',
    'pictures.by.order': 'Order', 'pictures.by.label': 'Label', 'pictures.by.camera': 'Camera', 'pictures.by.below': 'Score', 'pictures.by.marked': 'Marked',
    'pictures.todo': 'not marked yet', 'pictures.done': 'marked', 'pictures.all': 'all', 'pictures.uncertain': 'most uncertain first', 'pictures.newest': 'newest first',
    'pictures.anylabel': 'any label', 'pictures.anycamera': 'any camera', 'pictures.anyscore': 'any score', 'pictures.under': 'below {0}',
    'pictures.count': '{0} shown of {1}, {2} marked', 'pictures.more': 'Show more', 'pictures.zip': 'Download the marked ones', 'pictures.alt': '{0} of camera {1}',
    'pictures.chosen': '{0} chosen', 'pictures.other': 'another label', 'pictures.unmark': 'Take the mark off', 'pictures.delete': 'Delete', 'pictures.none': 'Choose none',
    'pictures.sure': 'Delete {0} pictures for good?',
    when: 'Time', what: 'Event', label: 'Label', score: 'Score', who: 'By',
    'device.model': 'Model', 'device.parts': 'How it fares', 'device.broker': 'Messages', 'device.machine': 'Machine', 'device.events': 'Events',
    'device.models': 'Installed models', 'device.frames': 'Frames', 'device.none': 'Nothing has happened yet.',
    name: 'Name', version: 'Version', precision: 'Precision', provider: 'Runs on', why: 'Why', tried: 'Not used', runtime: 'ONNX Runtime', digest: 'SHA-256 of its file',
    'broker.url': 'Broker', 'broker.connected': 'connected', 'broker.not': 'not connected', waiting: 'Waiting', 'waiting.n': '{0} messages, {1}', dropped: 'Lost',
    uptime: 'Running for', viewers: 'Viewers', program: 'Program',
    memory: 'Memory', disk: 'Disk', 'free.of': '{0} free of {1}', temperature: 'Temperature', power: 'Power', gpu: 'GPU', throttled: 'Slowed down', 'throttled.no': 'no',
    captured: 'captured', classified: 'classified', skipped: 'skipped',
    'models.none': 'No model is installed beside the demo: vggse-agent model install FILE', 'models.configured': 'model.bundle is configured: installed models do not run.',
    activate: 'Activate', 'activate.sure': 'Verify {0} and let it run?', 'activate.wait': 'The model is being verified …',
    active: 'active', trial: 'on trial', 'model.opening': 'The network is being opened.',
    'event.camera': 'Camera: {0}', 'event.broker.connected': 'Broker connected', 'event.broker.away': 'Broker lost', 'event.model': 'Model answers: {0}',
    'event.health': '{0}: {1}', 'event.action': 'Done here: {0}', 'event.start': 'Agent {0} started',
    failed: 'That did not work: {0}',
    'unit.s': '{0} s', 'unit.min': '{0} min', 'unit.h': '{0} h', 'unit.d': '{0} d', 'unit.ms': '{0} ms',
  },
  de: {
    'view.cameras': 'Kameras', 'view.why': 'Warum', 'view.pictures': 'Bilder', 'view.device': 'Gerät',
    language: 'Sprache', colours: 'Farben', 'theme.auto': 'wie das System', 'theme.light': 'hell', 'theme.dark': 'dunkel',
    login: 'Zum Ändern anmelden', logout: 'Abmelden', skip: 'Zum Inhalt', connection: 'Wie es dem Gerät geht', connecting: 'Verbinde mit dem Agenten …',
    zone: 'Uhrzeit des Geräts, {0}',
    gone: 'Agent weg', 'gone.long': 'Der Agent antwortet nicht.', 'gone.since': 'Zuletzt war er um {0} zu hören.',
    'gone.again': 'Was hier steht, ist von da. Die Seite kommt von selbst wieder.',
    unsafe: 'Diese Seite kommt ohne TLS: Wer im Netz ist, kann mitlesen. Siehe http.tls.',
    skew: 'Die Uhr des Geräts weicht um {0} von der dieses Rechners ab.',
    'health.ok': 'alles gut', 'health.degraded': 'braucht Aufmerksamkeit', 'health.failed': 'gestört',
    'part.cameras': 'Kameras', 'part.broker': 'Broker', 'part.queue': 'Warteschlange', 'part.model': 'Modell', 'part.engine': 'Engine',
    'part.thermal': 'Wärme', 'part.disk': 'Platte', 'part.clock': 'Uhr', 'part.start': 'Start',
    'broker.away': 'nicht verbunden: Nachrichten warten auf dem Gerät. {0}',
    'camera.online': 'live', 'camera.offline': 'keine Verbindung', 'camera.stalled': 'steht', 'camera.disabled': 'ausgeschaltet',
    'camera.dark': 'dunkel', 'camera.wait': 'wird geöffnet',
    'camera.disabled.long': 'Diese Kamera ist ausgeschaltet.', 'camera.dark.long': 'Es ist nichts zu sehen: Ist Licht da, ist die Linse frei?',
    'camera.facts': '{0} Bilder/s · {1} ms bis zur Entscheidung · Schwelle {2}',
    'picture.none': 'Warte auf das erste Bild …', 'picture.off': 'Bilder sind hier abgeschaltet (http.pictures).',
    'picture.age': '{0} alt', 'picture.alt': 'Was Kamera {0} sieht',
    scores: 'Werte, bester zuerst', threshold: 'Schwelle', since: 'seit {0}', today: 'Heute', 'today.none': 'noch nichts',
    network: 'Wie das Netz es sieht', 'network.title': 'Das Bild nach Zuschnitt und Verkleinern, Pixel für Pixel',
    region: 'Ausschnitt zeichnen', 'region.title': 'Einen Teil des Bilds wählen und seine Einstellung kopieren', 'region.how': 'Über das Bild ziehen.',
    copy: 'Kopieren', copied: 'Kopiert', 'turn.on': 'Einschalten', 'turn.off': 'Ausschalten',
    'why.camera': 'Kamera', 'why.15m': '15 Minuten', 'why.24h': '24 Stunden', 'why.span': 'Zeitraum',
    'why.empty': 'Noch wurde nichts klassifiziert. Sobald die Kamera liefert, stehen ihre Werte hier.',
    'why.memory': 'Im Speicher seit {0}; ein Neustart vergisst es.',
    'why.rule': 'Ein Label gilt nach {0} Bildern in Folge mit einem Wert von mindestens {1}. Das geltende darf bis {2} fallen.',
    'why.dwell': 'Es bleibt mindestens {0}.', 'why.smooth': 'Die Werte sind mit {0} geglättet.',
    'why.what': 'Was hätte eine andere Schwelle bewirkt?', 'why.try': 'Schwelle probieren',
    'why.result': '{0} Labelwechsel je Stunde', 'why.now': 'in Kraft: {0} mit {1} Wechseln je Stunde', 'why.unknown': '{0} der Zeit ohne Label',
    'why.over': 'Neu entschieden über die letzten {0} Bilder, {1}.', 'why.apply': '{0} übernehmen', 'why.applied': 'In Kraft: {0}',
    'why.norights': 'Hier darf angesehen, nicht geändert werden. Zum Ändern mit dem Code aus http.act_token_file anmelden.',
    'why.curve': 'Labelwechsel je Stunde bei jeder Schwelle', 'why.changes': 'Letzte Labelwechsel', 'why.none': 'Das Label hat noch nicht gewechselt.',
    'why.more': 'und was darunter liegt', 'why.others': 'Klassen',
    'pictures.off': 'Es werden keine Bilder behalten. samples.dir auf einen Ordner setzen: Worin das Netz unsicher ist, bleibt dann dort, um zu sagen, was es zeigt.',
    'pictures.empty': 'Noch kein Bild war es wert. Worin das Netz unsicher ist und wo das Label wechselt, kommt von selbst hierher.',
    'pictures.nomatch': 'So ein Bild gibt es nicht. Einen anderen Filter wählen.',
    'pictures.marked': '{0} markiert: {1}', 'pictures.unmarked': '{0} nicht mehr markiert', 'pictures.deleted': '{0} gelöscht',
    'pictures.by.order': 'Reihenfolge', 'pictures.by.label': 'Label', 'pictures.by.camera': 'Kamera', 'pictures.by.below': 'Wert', 'pictures.by.marked': 'Markiert',
    'pictures.todo': 'noch nicht markiert', 'pictures.done': 'markiert', 'pictures.all': 'alle', 'pictures.uncertain': 'unsicherste zuerst', 'pictures.newest': 'neueste zuerst',
    'pictures.anylabel': 'jedes Label', 'pictures.anycamera': 'jede Kamera', 'pictures.anyscore': 'jeder Wert', 'pictures.under': 'unter {0}',
    'pictures.count': '{0} gezeigt von {1}, {2} markiert', 'pictures.more': 'Mehr zeigen', 'pictures.zip': 'Markierte herunterladen', 'pictures.alt': '{0} von Kamera {1}',
    'pictures.chosen': '{0} gewählt', 'pictures.other': 'anderes Label', 'pictures.unmark': 'Markierung weg', 'pictures.delete': 'Löschen', 'pictures.none': 'Nichts wählen',
    'pictures.sure': '{0} Bilder endgültig löschen?',
    when: 'Zeit', what: 'Ereignis', label: 'Label', score: 'Wert', who: 'Durch',
    'device.model': 'Modell', 'device.parts': 'Wie es ihm geht', 'device.broker': 'Nachrichten', 'device.machine': 'Rechner', 'device.events': 'Ereignisse',
    'device.models': 'Installierte Modelle', 'device.frames': 'Einzelbilder', 'device.none': 'Noch ist nichts geschehen.',
    name: 'Name', version: 'Version', precision: 'Genauigkeit', provider: 'Läuft auf', why: 'Warum', tried: 'Nicht benutzt', runtime: 'ONNX Runtime', digest: 'SHA-256 der Datei',
    'broker.url': 'Broker', 'broker.connected': 'verbunden', 'broker.not': 'nicht verbunden', waiting: 'Wartend', 'waiting.n': '{0} Nachrichten, {1}', dropped: 'Verloren',
    uptime: 'Läuft seit', viewers: 'Betrachter', program: 'Programm',
    memory: 'Speicher', disk: 'Platte', 'free.of': '{0} frei von {1}', temperature: 'Temperatur', power: 'Leistung', gpu: 'GPU', throttled: 'Gedrosselt', 'throttled.no': 'nein',
    captured: 'aufgenommen', classified: 'klassifiziert', skipped: 'übersprungen',
    'models.none': 'Neben der Demo ist kein Modell installiert: vggse-agent model install DATEI', 'models.configured': 'model.bundle ist eingestellt: installierte Modelle laufen nicht.',
    activate: 'Aktivieren', 'activate.sure': '{0} prüfen und laufen lassen?', 'activate.wait': 'Das Modell wird geprüft …',
    active: 'aktiv', trial: 'auf Probe', 'model.opening': 'Das Netz wird geöffnet.',
    'event.camera': 'Kamera: {0}', 'event.broker.connected': 'Broker verbunden', 'event.broker.away': 'Broker weg', 'event.model': 'Modell antwortet: {0}',
    'event.health': '{0}: {1}', 'event.action': 'Hier getan: {0}', 'event.start': 'Agent {0} gestartet',
    failed: 'Das ging nicht: {0}',
    'unit.s': '{0} s', 'unit.min': '{0} min', 'unit.h': '{0} h', 'unit.d': '{0} T', 'unit.ms': '{0} ms',
  },
};

let current = choose();

function choose() {
  try {
    const kept = localStorage.getItem('language');
    if (words[kept]) return kept;
  } catch { /* the browser's */ }
  const wish = (navigator.languages || [navigator.language]).map((l) => l.slice(0, 2)).find((l) => words[l]);
  return wish || 'en';
}

export const language = () => current;

export function setLanguage(code) {
  current = words[code] ? code : 'en';
  try { localStorage.setItem('language', current); } catch { /* it holds for this page alone */ }
}

/** t is a text with its {0} and {1} filled in. A key without one is shown as it is. */
export function t(key, ...values) {
  const text = words[current][key] ?? words.en[key] ?? key;
  return text.replace(/\{(\d)\}/g, (_, i) => values[i] ?? '');
}

/** has reports whether there is such a text. */
t.has = (key) => key in words.en;
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
