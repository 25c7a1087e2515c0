/**
 * `node dist/test/support/keeper-launcher.js DIR`: the load keeper in its thread, as the daemon runs
 * it, through a short life: measures, breaks, measures on, stops. Says what it sees, a JSON each line.
 */
import { systemClock } from '../../node/clock.ts'
import { KeeperPort } from '../../node/load/keeper-port.ts'
import { runKeeperThread } from '../../node/load/keeper-wire.ts'
import { messageOf } from '../../protocols/fault.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { quietLog, volumeId } from './shard-harness.ts'

const [dir = '.'] = process.argv.slice(2)
const key = volumeId(1)
const settings = { zone: 'UTC', patterns: [], threshold: 'usual' } as const
const first = Math.floor(Date.now() / 60_000) - 10
const say = (what: object): void => console.log(JSON.stringify(what))

let starts = 0
let onRestart: () => void = () => undefined
const port = new KeeperPort(systemClock, () => undefined)
const log = { ...quietLog, error: (fields: object, message: string) => say({ ...fields, message }) }
// Neither the clock's timers nor the thread keep a process alive.
const alive = setInterval(() => undefined, 1000)

const keeper = runKeeperThread({
  dir,
  seed: 1,
  clock: systemClock,
  log,
  port,
  onStart: () => {
    starts++
    port.tell({ tell: 'subject', key, settings })
    onRestart()
  }
})

function minute(slot: number): void {
  const records = [{ key, record: { ...IDLE, reads: slot - first + 1 } }]
  port.tell({ tell: 'tick', second: slot * 60 + 59, seconds: [], minute: { slot, records } })
}

async function known(): Promise<number> {
  const range = { key, step: 'minute', from: 0, to: 2 ** 32 } as const
  return (await port.ask({ ask: 'rows', ...range })).rows.length
}

for (let slot = first; slot < first + 3; slot++) minute(slot)
say({ known: await known(), starts })

const restarted = new Promise<void>(resolve => {
  onRestart = resolve
})
const startedMs = performance.now()
port.tell({ tell: 'subject', key: volumeId(2), settings: { ...settings, zone: 'Nowhere/Land' } })
const lost = port.ask({ ask: 'history', key, steps: 1 }).catch(messageOf)
say({ lost: await lost })
await restarted
say({ known: await known(), starts, pausedMs: performance.now() - startedMs })

minute(first + 3)
const closingMs = performance.now()
await keeper.close()
say({ closedMs: performance.now() - closingMs, starts })
clearInterval(alive)
