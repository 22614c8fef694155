// Before the first paint: the colours that were chosen here, or those of the system.
try {
  const theme = localStorage.getItem('theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* without storage the system's hold */ }
