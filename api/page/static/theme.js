// Before the first paint: the colours that were chosen here, or those of the system.
const dark = matchMedia('(prefers-color-scheme: dark)');
let theme = 'auto';
try {
  theme = localStorage.getItem('theme') || theme;
} catch { /* without storage the system's hold */ }

/** colours shows the page in those. */
function colours() {
  document.documentElement.dataset.theme = theme === 'auto' ? (dark.matches ? 'dark' : 'light') : theme;
}

dark.addEventListener('change', colours);
colours();
