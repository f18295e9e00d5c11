// Sets light or dark before the first paint. A classic script and not a module for that
// reason: modules run after the page was drawn once.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("agentmonitor.theme");
    } catch {
      return null;
    }
  };
  const apply = () => {
    const chosen = kept();
    root.dataset.theme =
      chosen === "dark" || chosen === "light" ? chosen : dark.matches ? "dark" : "light";
  };
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
})();
