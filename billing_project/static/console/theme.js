// htmx would write a style sheet into the page, which its policy forbids; nothing here shows its indicators.
htmx.config.includeIndicatorStyles = false;

// The theme's icons are words, in a font that draws a picture for each: "download Exports" is what would be read aloud.
// Where a word is all that a control says, it stays its name.
document.addEventListener("DOMContentLoaded", () => {
  for (const icon of document.querySelectorAll(".material-symbols-outlined")) {
    const control = icon.closest("a, button");
    if (control?.textContent.trim() !== icon.textContent.trim()) icon.setAttribute("aria-hidden", "true");
  }
});
