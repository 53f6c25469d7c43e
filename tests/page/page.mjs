// page.mjs - asks through the page what the API answers, and compares: page.mjs URL DIRECTORY
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(import.meta.url)(join(process.argv[3], "node_modules/playwright-core"));
const [url, to] = process.argv.slice(2);
let failed = 0;

function same(name, wanted, got) {
  const good = JSON.stringify(wanted) === JSON.stringify(got);
  console.log(good ? `ok    ${name}` : `FAIL  ${name}\n      wanted ${JSON.stringify(wanted)}\n      got    ${JSON.stringify(got)}`);
  if (!good) failed++;
}
async function post(path, body) {
  return (await fetch(url + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
}
const exact = (n) => `${n.toLocaleString("en")} B`;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

/** A page whose errors, refused loads and requests to other hosts are counted. */
async function opened(options, path = "/") {
  const page = await (await browser.newContext(options)).newPage();
  const wrong = [];
  page.on("console", (m) => { if (m.type() === "error" && !/status of 4\d\d/.test(m.text())) wrong.push(m.text()); });
  page.on("pageerror", (e) => wrong.push(String(e)));
  page.on("request", (r) => { if (!r.url().startsWith(url) && !r.url().startsWith("data:")) wrong.push(`asks ${r.url()}`); });
  await page.goto(url + path);
  return { page, wrong };
}
const settled = (page) => page.locator("#answers:not([aria-busy])").waitFor();

{ // A plan.
  const { page, wrong } = await opened({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  await page.locator("#verdict .yes").waitFor();
  await settled(page);
  const workload = { model: "gpt2", seq_len: 1024, batch: 64, dtype: "bfloat16", attention: "flash", optimizer: "adamw" };
  let plan = await post("/v1/plans", { workload, strategy: "every_layer", device: "l4-24gb", include: ["layers", "explain"] });
  const peak = () => page.locator("#figures div", { hasText: "Peak" }).locator("small").textContent();
  same("the first question is answered: its peak", exact(plan.peak_bytes), await peak());
  same("a bar of what the peak is made of", true, (await page.locator("#bar rect").count()) >= 5);
  same("every layer", plan.layers.length, await page.locator("#layers button").count());
  same("every sentence", plan.explain.sentences, await page.locator("#sentences li").allTextContents());
  const frontier = await post("/v1/frontiers", { workload, device: "l4-24gb", points: 24 });
  same("every point of the frontier", frontier.points.length, await page.locator("#frontier .dot").count());
  same("every named strategy", frontier.named.length, await page.locator("#frontier .named").count());
  await page.screenshot({ path: join(to, "light.png"), fullPage: true });

  await page.locator("#frontier .dot").nth(3).dispatchEvent("mouseenter");
  same("pointing at a point tells of it", true, (await page.locator("#point").textContent()).startsWith("optimal"));
  await page.locator("#frontier .dot").nth(3).dispatchEvent("click");
  await settled(page);
  same("choosing it plans it", ["optimal", exact(frontier.points[3].peak_bytes)], [await page.locator("[name=strategy]").inputValue(), await peak()]);

  await page.locator("#layers button").first().focus();
  await page.keyboard.press("ArrowRight");
  same("arrow keys go through the layers", "Layer 1", (await page.locator("#layer-about").textContent()).slice(0, 7));

  await page.fill("[name=budget]", "0.5");
  await page.locator("button.main").click();
  await page.locator("#verdict .no").waitFor();
  same("too small a budget: the least is told", true, (await page.locator("#verdict").textContent()).includes("least budget"));
  await page.fill("[name=budget]", "");
  await page.fill("[name=seq_len]", "2048");
  await page.locator("button.main").click();
  await page.locator("#verdict .problem").waitFor();
  same("a refusal stands at its field", ["true", 1], [await page.locator("[name=seq_len]").getAttribute("aria-invalid"), await page.locator("#fault-seq_len").count()]);
  await page.fill("[name=seq_len]", "512");
  await page.keyboard.press("Enter");
  await page.locator("#verdict .yes").waitFor();
  await settled(page);
  same("Enter asks again, and the fault is gone", 0, await page.locator(".fault").count());
  same("the address is a link to the question", true, page.url().includes("seq_len=512"));

  // curl's line is the question: its body, sent, has the page's answer.
  const line = await page.locator("#curl").textContent();
  plan = await post("/v1/plans", JSON.parse(line.slice(line.indexOf("-d '") + 4, -1)));
  same("the curl line asks the same", exact(plan.peak_bytes), await peak());

  // The demo job.
  await page.locator("#demo").click();
  await page.locator("#demo-answer .yes").waitFor({ timeout: 60000 });
  const [job] = (await (await fetch(`${url}/v1/jobs`)).json()).jobs;
  const bytes = exact(job.result.memory.measured_peak_bytes);
  same("the demo job: predicted = measured", `predicted ${bytes} = measured ${bytes}`, await page.locator("#demo-answer b").first().textContent());
  await page.locator("#jobs .state-succeeded").waitFor();
  same("it is in the list", bytes, await page.locator("#jobs tr").first().locator("td").nth(4).textContent());
  same("every field has a label", 0, await page.evaluate(() => [...document.querySelectorAll("input, select, textarea")].filter((f) => !f.labels.length).length));
  same("no error, nothing from elsewhere", [], wrong);
}

{ // The question in a link, in the dark, on a small screen.
  const { page, wrong } = await opened({ viewport: { width: 400, height: 800 }, colorScheme: "dark" }, "/#model=gpt2&seq_len=256&batch=2&device=&strategy=selective&ops=attention");
  await page.locator("#verdict .yes").waitFor();
  await settled(page);
  same("a link fills the form", ["256", "selective", "attention"], await Promise.all(["seq_len", "strategy", "ops"].map((n) => page.locator(`[name=${n}]`).inputValue())));
  same("nothing is wider than a small screen", true, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await page.screenshot({ path: join(to, "dark-400.png"), fullPage: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.screenshot({ path: join(to, "dark.png"), fullPage: true });

  // A token goes with every question, and stays in the tab.
  await page.evaluate(() => { document.querySelector("details").open = true; });
  await page.fill("#token", "secret");
  const asked = page.waitForRequest((r) => r.url().endsWith("/v1/plans"));
  await page.locator("#token").blur();
  same("a token is sent", "Bearer secret", (await asked).headers().authorization);
  await settled(page);
  same("no error, nothing from elsewhere (dark)", [], wrong);
}

{ // The document.
  const { page, wrong } = await opened({ viewport: { width: 1280, height: 900 } }, "/docs");
  if ((await page.locator("#swagger").count()) === 0) {
    same("/docs says how to get Swagger UI", true, (await page.locator("pre").textContent()).includes("make swagger"));
  } else {
    await page.locator(".opblock").first().waitFor();
    same("/docs shows every operation", true, (await page.locator(".opblock").count()) > 25);
    await page.screenshot({ path: join(to, "docs.png") });
  }
  same("no error, nothing from elsewhere (/docs)", [], wrong);
}
await browser.close();
process.exit(failed ? 1 : 0);
