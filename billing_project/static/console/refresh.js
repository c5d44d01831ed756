// A part of the page that says it is not finished is fetched again until it is: <section id="…" data-refresh="1500">.
const refresh = async (part) => {
  const wait = Number(part.dataset.refresh);
  if (!wait) return;
  await new Promise((done) => setTimeout(done, wait));
  const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  const fresh = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
  if (!fresh) return refresh(part);
  part.replaceWith(fresh);
  document.dispatchEvent(new CustomEvent("tollbook:drawn", { detail: fresh }));
  return refresh(fresh);
};
document.querySelectorAll("[data-refresh]").forEach(refresh);
