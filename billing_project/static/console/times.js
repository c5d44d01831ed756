// Times are written in UTC. A reader in another zone sees their own, and UTC on hover.
// The theme writes a field's time as plain text.
const PLAIN = /^\s*(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC\s*$/;
const markPlain = (part) => {
  for (const cell of part.querySelectorAll("#result_list :is(td, th), #result_list :is(td, th) a, .readonly, .readonly p")) {
    const said = cell.childElementCount === 0 && PLAIN.exec(cell.textContent);
    if (!said) continue;
    const time = document.createElement("time");
    time.dateTime = `${said[1]}T${said[2]}Z`;
    time.textContent = cell.textContent.trim();
    cell.replaceChildren(time);
  }
};
const tellTimes = (part) => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // A page that asks for a time zone offers the reader's own.
  for (const zones of part.querySelectorAll("select[data-zones]")) {
    if (![...zones.options].some((option) => option.value === zone)) zones.add(new Option(zone, zone));
  }
  markPlain(part);
  for (const time of part.querySelectorAll("time[datetime]")) {
    const instant = new Date(time.dateTime);
    if (Number.isNaN(instant.getTime()) || instant.getTimezoneOffset() === 0) continue;
    const part = Object.fromEntries(
      new Intl.DateTimeFormat("en-GB", {
        timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit",
        hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
      }).formatToParts(instant).map(({ type, value }) => [type, value]),
    );
    time.title = time.title || time.textContent.trim();
    const day = `${part.year}-${part.month}-${part.day}`;
    const isDay = "day" in time.dataset;
    time.textContent = isDay ? day : `${day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
  }
};
document.addEventListener("DOMContentLoaded", () => tellTimes(document));
// What a page has fetched anew.
document.addEventListener("tollbook:drawn", (event) => tellTimes(event.detail));
