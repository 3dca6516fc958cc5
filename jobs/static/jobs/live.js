"use strict";

/* Refreshes what moves of the jobs that are shown, while some of them are active and somebody is looking. */
document.addEventListener("DOMContentLoaded", () => {
    const EVERY = 2000; // milliseconds
    const page = document.querySelector("[data-live]");
    if (!page) {
        return;
    }
    const active = new Set(page.dataset.active.split(" ").filter(Boolean));
    let timer = null;

    function show(id, told) {
        for (const cell of document.querySelectorAll(`[data-job="${CSS.escape(id)}"]`)) {
            const text = told[cell.dataset.field];
            if (cell instanceof HTMLProgressElement) {
                cell.value = Number(text);
            } else if (cell.textContent !== text) {
                cell.textContent = text;
                cell.dataset.says = cell.dataset.field === "state" ? text.split(",")[0] : "";
            }
        }
    }

    async function look() {
        const url = new URL(page.dataset.live, window.location.href);
        for (const id of active) {
            url.searchParams.append("id", id);
        }
        const answer = await fetch(url, { headers: { Accept: "application/json" }, redirect: "manual" });
        if (answer.type === "opaqueredirect" || answer.status === 403) {
            active.clear(); // signed out meanwhile
            return;
        }
        if (!answer.ok) {
            return; // HyreLog may be starting anew
        }
        const { jobs } = await answer.json();
        for (const id of [...active]) {
            const told = jobs[id];
            if (told) {
                show(id, told);
            }
            if (!told || !told.active) {
                active.delete(id);
            }
            if (told && page.dataset.version && page.dataset.version !== told.version) {
                active.clear();
                window.location.reload(); // a new attempt, or an end: there is more to see than what moves
            }
        }
    }

    async function turn() {
        timer = null;
        try {
            await look();
        } catch {
            // The network comes back, or does not.
        }
        plan();
    }

    function plan() {
        if (timer === null && active.size > 0 && !document.hidden) {
            timer = setTimeout(turn, EVERY);
        }
    }

    document.addEventListener("visibilitychange", plan);
    plan();
});
