/**
 * `npm run soak -- --minutes N [--seed S] [--json FILE]`: random I/O with a checker of every read,
 * while nodes and gateways are killed, stopped, frozen and restarted. Ends at once on wrong data
 * or on an error that a client must not see, and prints how to replay the seed.
 */
import { parseArgs } from 'node:util'
import { messageOf } from '../../protocols/fault.ts'
import { printTable, versionsOf, writeResult } from '../bench/report.ts'
import { soak } from './soak.ts'

const MAX_MINUTES = 24 * 60
const USAGE = 'usage: npm run soak -- --minutes N [--seed S] [--json FILE]'

try {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
      json: { type: 'string' }
    }
  })
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
  if (!(minutes > 0 && minutes <= MAX_MINUTES)) throw new Error(USAGE)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(USAGE)
  console.log(`soak: ${minutes} min, seed ${seed}`)
  const { rows, failure, operations } = await soak(minutes, seed)
  printTable(
    ['event', 'node', 'operations', 'errors seen', 'seconds'],
    rows.map(row => [row.event, row.node, `${row.operations}`, `${row.errors}`, `${row.seconds}`])
  )
  const summary = { minutes, rounds: rows.length, operations, failure: failure ?? null }
  const versions = await versionsOf([])
  writeResult(
    { rows: rows.map(row => ({ ...row })), ratios: {}, summary, seed, versions },
    values.json
  )
  if (failure === undefined) console.log(`nothing lost in ${rows.length} rounds`)
  else {
    console.error(`FAILED: ${failure}`)
    console.error(`replay: npm run soak -- --minutes ${minutes} --seed ${seed}`)
    process.exitCode = 1
  }
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
