"use strict";
// Filters, search, and claims that open where an address points: the page reads well without any of it.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const claims = [...document.querySelectorAll("details.claim")];
  const papers = [...document.querySelectorAll("section.paper")];
  const at = (id) => document.getElementById(id);
  const shown = () => claims.filter((claim) => !claim.hidden);

  const apply = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [paper, verdict, variant] = ["paper", "verdict", "variant"].map((id) => at(id).value);
    const unexpected = at("unexpected").checked;
    for (const claim of claims) {
      const own = claim.dataset;
      claim.hidden = !(
        words.every((word) => own.words.includes(word)) &&
        (!paper || claim.closest("section.paper").dataset.paper === paper) &&
        (!verdict || own.verdicts.split(" ").includes(verdict)) &&
        (!variant || own.variants.split(" ").includes(variant)) &&
        (!unexpected || own.expected === "no")
      );
    }
    for (const section of papers) section.hidden = !section.querySelector("details.claim:not([hidden])");
    const count = shown().length;
    at("count").textContent = count ? `${count} of ${claims.length} claims` : "No claim is like that: Reset shows all.";
  };

  // An address inside the page names a claim, or its witness: show and open it, whatever is filtered.
  const follow = () => {
    let place = location.hash.slice(1);
    try { place = decodeURIComponent(place); } catch { return; }
    const target = place && document.getElementById(place);
    const claim = target && target.closest("details.claim");
    if (!claim) return;
    if (claim.hidden) { form.reset(); apply(); }
    claim.open = true;
    target.scrollIntoView();
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  at("open").addEventListener("click", () => shown().forEach((claim) => { claim.open = true; }));
  at("close").addEventListener("click", () => claims.forEach((claim) => { claim.open = false; }));
  window.addEventListener("hashchange", follow);
  apply();
  follow();
})();
