import { makePlan } from '/work/wt/sim/test/sim/plan.ts';
import { runPlan } from '/work/wt/sim/test/sim/run.ts';
import type { Fault } from '/work/wt/sim/test/sim/acts.ts';
const [from='1', n='50', faults='', show=''] = process.argv.slice(2);
const f = faults.split(',').filter(Boolean) as Fault[];
const c0=process.cpuUsage();const t=performance.now(); let ev=0; const kinds=new Map<string,number[]>();
for (let s=Number(from); s<Number(from)+Number(n); s++){ const r=await runPlan(makePlan(s,f),{trace:show!==''}); ev+=r.events; if(r.violation){ kinds.set(r.violation.kind,[...(kinds.get(r.violation.kind)??[]),s]); if(show) { for(const l of r.trace.lines) console.log((l.time/1000).toFixed(3).padStart(9), l.where.padEnd(20), l.text.slice(0,220)); console.log(r.violation);} } }
const c1=process.cpuUsage(c0); console.log("cpu ms/seed",(c1.user+c1.system)/1000/Number(n)); console.log(((performance.now()-t)/Number(n)).toFixed(1),'ms/seed',Math.round(ev/Number(n)),'events/seed'); for(const [k,v] of kinds) console.log(k,v.length,v.slice(0,20).join());
