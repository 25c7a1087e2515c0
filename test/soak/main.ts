/**
 * `npm run soak -- --minutes N [--seed S] [--only sim|balance|processes] [--json FILE]`: searches for
 * faults for as long as it is told, a tenth of the time in `balance`, half of the rest in the others:
 *
 *   sim        seeds of the simulator, from S on, as many as fit
 *   balance    simulated meshes that balance themselves, of many sizes, seed after seed from S on
 *   processes  random I/O with a checker of every read, while real nodes and gateways are killed,
 *              stopped, frozen and restarted
 *
 * Ends at once on wrong data or on an error that a client must not see, and prints how to replay.
 */
import { parseArgs } from 'node:util'
import { messageOf } from '../../protocols/fault.ts'
import { printTable, versionsOf, writeResult } from '../bench/report.ts'
import { outcomeDocument, printOutcome } from '../sim/report.ts'
import { runSeeds } from '../sim/runner.ts'
import { type BalanceSoak, soakBalance } from './balance.ts'
import { type SoakResult, soak } from './soak.ts'

const MAX_MINUTES = 24 * 60
const SIM_WORKERS = 2
const BALANCE_PART = 0.1
const PARTS = ['sim', 'balance', 'processes']
const USAGE =
  'usage: npm run soak -- --minutes N [--seed S] [--only sim|balance|processes] [--json FILE]'

try {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
      only: { type: 'string' },
      json: { type: 'string' }
    }
  })
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
  const { only } = values
  if (!(minutes > 0 && minutes <= MAX_MINUTES)) throw new Error(USAGE)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(USAGE)
  if (only !== undefined && !PARTS.includes(only)) throw new Error(USAGE)
  console.log(`soak: ${minutes} min, seed ${seed}`)
  const share = only === undefined ? (minutes * (1 - BALANCE_PART)) / 2 : minutes
  const wants = (part: string): boolean => only === undefined || only === part
  const balanceMinutes = only === undefined ? minutes * BALANCE_PART : minutes
  const balance = wants('balance') ? soakMeshes(balanceMinutes, seed) : undefined
  const simulated = wants('sim') ? await soakSimulator(share, seed) : undefined
  const hasFailed = simulated?.hasFailed === true || balance?.failure !== undefined
  const real = wants('processes') && !hasFailed ? await soakProcesses(share, seed) : undefined
  const versions = await versionsOf([])
  const summary = {
    minutes,
    simulator: simulated?.document ?? null,
    balance: balance ?? null,
    rounds: real?.rows.length ?? 0,
    operations: real?.operations ?? 0,
    failure: real?.failure ?? null
  }
  const rows = real?.rows.map(row => ({ ...row })) ?? []
  writeResult({ rows, ratios: {}, summary, seed, versions }, values.json)
  if (hasFailed || real?.failure !== undefined) process.exitCode = 1
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}

function soakMeshes(minutes: number, seed: number): BalanceSoak {
  const result = soakBalance(minutes, seed)
  const { meshes, moves, failure } = result
  if (failure === undefined) console.log(`${meshes} meshes balanced themselves, ${moves} moves`)
  else console.error(`FAILED: balance: ${failure}`)
  return result
}

async function soakSimulator(minutes: number, seed: number) {
  const outcome = await runSeeds({
    from: seed,
    seeds: undefined,
    withinMs: minutes * 60_000,
    workers: SIM_WORKERS,
    stopAtFailure: true
  })
  printOutcome(outcome)
  const hasFailed = outcome.failed.length > 0 || outcome.problem !== undefined
  return { hasFailed, document: outcomeDocument(outcome) }
}

async function soakProcesses(minutes: number, seed: number): Promise<SoakResult> {
  const result = await soak(minutes, seed)
  const { rows, failure } = result
  printTable(
    ['event', 'node', 'operations', 'errors seen', 'seconds'],
    rows.map(row => [row.event, row.node, `${row.operations}`, `${row.errors}`, `${row.seconds}`])
  )
  if (failure === undefined) console.log(`nothing lost in ${rows.length} rounds`)
  else {
    console.error(`FAILED: ${failure}`)
    console.error(`replay: npm run soak -- --only processes --minutes ${minutes} --seed ${seed}`)
  }
  return result
}
