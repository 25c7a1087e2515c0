/** The outcome of a run as tables for people and as JSON for programs. */
import { printTable } from '../bench/report.ts'
import { type RunOutcome, replayLine } from './runner.ts'
import { REQUIRED_STEPS } from './steps.ts'
import type { SeedResult } from './totals.ts'

const TAIL_LINES = 40

export function printOutcome({ sum, failed, replaced, problem }: RunOutcome): void {
  console.log(
    `${sum.seeds} seeds: ${sum.operations} operations of clients, ${sum.errors} errors seen, ` +
      `${sum.attaches} attaches, ${sum.takeOvers} take-overs, ${sum.handoffs} handoffs (${sum.passed} passed); ` +
      `${Math.round(sum.virtualMs / 1000)} s simulated in ${Math.round(sum.cpuMs / 1000)} s of CPU`
  )
  printTable(
    ['fault', 'times'],
    Object.entries(sum.faults)
      .sort()
      .map(([kind, count]) => [kind, `${count}`])
  )
  printTable(
    ['step', 'reached', 'crashed there'],
    Object.entries(sum.steps)
      .sort()
      .map(([step, { reached, crashed }]) => [step, `${reached}`, `${crashed}`])
  )
  if (replaced.length > 0) {
    const list = replaced.map(({ seed, why }) => `${seed} (${why})`).join(', ')
    console.log(`replaced, because too little happened: ${list}`)
  }
  for (const result of failed) printFailure(result)
  if (problem !== undefined) console.error(`FAILED: ${problem}`)
}

export function printFailure(result: SeedResult): void {
  console.error(result.trace.slice(-TAIL_LINES).join('\n'))
  console.error(`FAILED: seed ${result.seed}: ${result.failures[0]}`)
  console.error(`replay: ${replayLine(result.seed)}`)
}

/** Steps of the list at which nothing ever crashed. */
export function neverCrashed({ sum }: RunOutcome): string[] {
  return REQUIRED_STEPS.filter(step => (sum.steps[step]?.crashed ?? 0) === 0)
}

export function outcomeDocument(outcome: RunOutcome): object {
  const failed = outcome.failed.map(({ seed, failures }) => ({ seed, why: failures[0] }))
  const { sum, replaced, problem } = outcome
  return { ...sum, replaced, failed, neverCrashed: neverCrashed(outcome), problem: problem ?? null }
}
