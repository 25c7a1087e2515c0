/** Runs the seeds that the runner sends, one after the other, and sends back what came of each. */
import { Simulation } from './simulation.ts'

// Errors are part of the weather here: what made each is not worth its time (a replay has it).
Error.stackTraceLimit = 0

process.on('message', (seed: number) => {
  void new Simulation(seed, false).run().then(result => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
