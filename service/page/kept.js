/** The jobs of this tab, so that the page finds them again when it is reloaded. Kept until the tab is closed. */

const NAME = "framewise-jobs";
const MAX_KEPT = 20;

/** @returns {{id: string, name: string, size: number}[]}  the ids of jobs, each with its file's name and size */
export const keptJobs = () => JSON.parse(sessionStorage.getItem(NAME) ?? "[]");

export const keepJob = (job) => keep([...keptJobs(), job].slice(-MAX_KEPT));

export const forgetJob = (jobId) => keep(keptJobs().filter(({ id }) => id !== jobId));

function keep(jobs) {
  if (jobs.length > 0) sessionStorage.setItem(NAME, JSON.stringify(jobs));
  else sessionStorage.removeItem(NAME);
}
