/** What a search and the tests of mutations need of the simulator, as one module to load. */
export { makePlan } from './plan.ts';
export { runPlan } from './run.ts';
export { shrink } from './shrink.ts';
export { storyOf } from './story.ts';
