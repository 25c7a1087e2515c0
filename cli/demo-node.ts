/**
 * `node dist/bundle/demo-node.js --dir DIR --rate N --from MS --start MS [--max-load N] [--listen ADDRESS]`:
 * the daemon as `shoal up` runs it, but with a load clock that runs faster than time (node/scaled-clock.ts). The
 * demo and the tests start it, nobody else; no option of `shoal up` leads here.
 *
 * It says what `shoal up --json` says, and ends when its stdin does, like a node of the demo.
 */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../node/clock.ts'
import type { ClockScale } from '../node/ports.ts'
import { scaledClock } from '../node/scaled-clock.ts'
import { Client } from './client.ts'
import { terminal } from './io.ts'
import { runDaemon } from './up.ts'

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    rate: { type: 'string' },
    from: { type: 'string' },
    start: { type: 'string' },
    'max-load': { type: 'string' },
    balance: { type: 'string' },
    listen: { type: 'string', multiple: true },
    'until-stdin-closes': { type: 'boolean', default: false }
  }
})
const MODES = ['predictive', 'reactive', 'off'] as const
const { listen, rate, from, start, 'max-load': maxLoad } = values
const dir = resolve(values.dir ?? '')
const scale: ClockScale = { rate: Number(rate), fromMs: Number(from), startMs: Number(start) }
const isWhole = Object.values(scale).every(number => Number.isSafeInteger(number) && number >= 1)
const balance = MODES.find(mode => mode === values.balance)
if (values.dir === undefined || !isWhole) throw new Error('--dir, --rate, --from and --start')

await runDaemon(
  terminal,
  { json: true, dir, client: new Client(dir) },
  {
    ...(listen === undefined ? {} : { listen }),
    ...(maxLoad === undefined ? {} : { maxLoad: Number(maxLoad) }),
    ...(balance === undefined ? {} : { balance }),
    loadClock: scaledClock(scale, systemClock),
    rebind: false,
    acceptLoss: false,
    untilStdinCloses: values['until-stdin-closes'],
    logLevel: 'info'
  }
)
