import { Simulation } from './simulation.ts'
const seed = Number(process.argv[2])
const n = Number(process.argv[3] ?? 1)
for (let s = seed; s < seed + n; s++) {
  const r = await new Simulation(s, n === 1).run()
  if (n === 1) console.log(r.trace.join('\n'))
  console.log(r.seed, r.failures.slice(0,1).map(f => f.slice(0, 600)), r.operations, r.errors, 'att', r.attaches, r.takeOvers, 'ev', r.events, 'v', r.virtualMs, 'cpu', r.cpuMs, r.digest.slice(0, 8), Object.values(r.faults).reduce((a, b) => a + b, 0))
}
