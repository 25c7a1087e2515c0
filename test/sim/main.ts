/**
 * The simulator's command line.
 *
 *   node dist/test/sim/main.js --seeds N [--from S] [--json FILE]   N seeds that count, from S on
 *   node dist/test/sim/main.js --seed X [--trace]                   one seed, with its whole trace
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { messageOf } from '../../protocols/fault.ts'
import { neverCrashed, outcomeDocument, printFailure, printOutcome } from './report.ts'
import { runSeeds } from './runner.ts'
import { Simulation } from './simulation.ts'
import { shortfall } from './totals.ts'

const USAGE =
  'usage: main.js --seeds N [--from S] [--workers W] [--stop-at-failure] [--every-step] ' +
  '[--json FILE] | --seed X [--trace]'

try {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string', default: '1' },
      workers: { type: 'string', default: '2' },
      'stop-at-failure': { type: 'boolean', default: false },
      'every-step': { type: 'boolean', default: false },
      json: { type: 'string' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false }
    }
  })
  if (values.seed !== undefined) await runOne(number(values.seed), values.trace)
  else if (values.seeds !== undefined) {
    const outcome = await runSeeds({
      from: number(values.from),
      seeds: number(values.seeds),
      withinMs: undefined,
      workers: number(values.workers),
      stopAtFailure: values['stop-at-failure']
    })
    printOutcome(outcome)
    if (values.json !== undefined) writeFileSync(values.json, json(outcomeDocument(outcome)))
    if (outcome.failed.length > 0 || outcome.problem !== undefined) process.exitCode = 1
    const missed = neverCrashed(outcome)
    if (values['every-step'] && missed.length > 0) {
      console.error(`FAILED: nothing ever crashed at: ${missed.join(', ')}`)
      process.exitCode = 1
    }
  } else throw new Error(USAGE)
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}

async function runOne(seed: number, isTraced: boolean): Promise<void> {
  const result = await new Simulation(seed, isTraced).run()
  const { trace, ...rest } = result
  if (isTraced) console.log(trace.join('\n'))
  console.log(json(rest))
  const why = shortfall(result)
  if (why !== undefined) console.log(`this seed does not count: ${why}`)
  if (result.failures.length === 0) return
  printFailure(result)
  process.exitCode = 1
}

function number(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(USAGE)
  return value
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
