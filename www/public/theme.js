// Before the first paint: the theme that this person chose, so that nothing flashes.
try {
  var chosen = localStorage.getItem('theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch (e) {
  // Storage is switched off: the system's theme it is.
}
