// A folder such as a small company keeps, made up: contracts, minutes, manuals, invoices, and some that are broken.
import { brokenPdf, folder, pdf } from "../../js/support/documents.mjs";

const TEAMS = ["finance", "legal", "operations", "people", "product", "research", "sales", "support"];
const KINDS = ["annual-report", "budget", "contract", "handbook", "incident-review", "interview-notes", "invoice", "meeting-minutes", "policy", "price-list", "proposal", "release-notes", "roadmap", "runbook", "survey", "travel-expenses"];
const MONTHS = ["2025-01", "2025-02", "2025-03", "2025-04", "2025-05", "2025-06", "2025-07", "2025-08", "2025-09", "2025-10", "2025-11", "2025-12"];
const SENTENCES = [
  "The committee met on Tuesday and went through the open points one by one.",
  "Costs rose in the second quarter, mostly because of freight and the new warehouse.",
  "Customers in the north asked for shorter delivery times and clearer invoices.",
  "The supplier confirmed the date; the contract was signed by both sides.",
  "Two of the five pumps were replaced, and the remaining ones will follow in spring.",
  "Nobody was hurt, the alarm worked, and the building was empty within four minutes.",
  "The survey had a response rate of sixty-two percent, more than in any year before.",
  "Section four explains how leave is requested and who decides about it.",
];

/** The same numbers every time. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * below);
  };
}

function pages(text, most = 30) {
  return Array.from({ length: Math.ceil(text.length / most) }, (_, page) => text.slice(page * most, (page + 1) * most).join(" "));
}

/** A folder of `count` files, at `at` if given; `length` is how many sentences a file has about. */
export async function library(count, length = 12, at = undefined) {
  const next = random(7);
  const files = {};
  let [broken, skipped] = [0, 0];
  for (let n = 0; Object.keys(files).length < count; n += 1) {
    const [team, kind, month] = [TEAMS[next(TEAMS.length)], KINDS[next(KINDS.length)], MONTHS[next(MONTHS.length)]];
    // Most are short, and one in nine is long.
    const sentences = (2 + next(length * 2)) * (n % 9 === 4 ? 6 : 1);
    const text = Array.from({ length: sentences }, () => SENTENCES[next(SENTENCES.length)]);
    const base = `${team}/${month}/${kind}-${String(n).padStart(4, "0")}`;
    const title = `${kind.replaceAll("-", " ")}, ${team}, ${month}, number ${n}`;
    const way = next(100);
    if (way < 34) files[`${base}.pdf`] = pdf(`${title}. `, ...pages(text));
    else if (way < 62) files[`${base}.md`] = `# ${title}\n\n${text.join("\n\n")}\n`;
    else if (way < 80) files[`${base}.txt`] = `${title}\n\n${text.join("\n")}\n`;
    else if (way < 92) files[`${base}.html`] = `<!doctype html><title>${title}</title><h1>${title}</h1>${text.map((line) => `<p>${line}</p>`).join("")}`;
    else if (way < 95) {
      broken += 1;
      if (way === 92) files[`${base}.pdf`] = Buffer.concat([brokenPdf(), Buffer.from(`%${n}`)]);
      else files[`${base}.${way === 93 ? "docx" : "pdf"}`] = Buffer.from(`not a document at all, number ${n}`);
    } else if (way < 98) {
      skipped += 1;
      files[`${base}.png`] = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), Buffer.from(`${n}`)]);
    } else {
      skipped += 1;
      files[`${base}.txt`] = "";
    }
  }
  return Object.assign(await folder(files, at), { broken, skipped, count });
}
