/** Jobs of this tab in the session storage: a reloaded page finds them. The browser deletes them with the tab. */

const NAME = "framewise-jobs";
const MAX_KEPT = 20;

/** @returns {StoredJob[]} */
export const keptJobs = () => JSON.parse(sessionStorage.getItem(NAME) ?? "[]");

/** @param {StoredJob} job */
export const keepJob = (job) => keep([...keptJobs(), job].slice(-MAX_KEPT));

/** @param {string} jobId */
export const forgetJob = (jobId) => keep(keptJobs().filter(({ id }) => id !== jobId));

/** @param {StoredJob[]} jobs */
function keep(jobs) {
  if (jobs.length > 0) sessionStorage.setItem(NAME, JSON.stringify(jobs));
  else sessionStorage.removeItem(NAME);
}
