/**
 * `shoal calibrate`: measures what this node can do. Unlike moves, it is called off by ctrl-C: it
 * takes from clients for as long as it lasts, and half of it is worth nothing.
 */
import type { Command } from 'commander'
import type {
  CalibrationDocument,
  CalibrationStateDocument
} from '../node/control/load-documents.ts'
import { ShoalError } from '../protocols/fault.ts'
import type { Client } from './client.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { clean, durationText, report, size, table } from './output.ts'
import { Progress } from './progress.ts'
import { examples } from './shared.ts'

const PATH = '/v1/calibration'
const LOOK_MS = 200

interface CalibrateOptions {
  readonly quick?: boolean
  readonly force?: boolean
}

type Started = CalibrationStateDocument & { readonly warnings: readonly string[] }

export function addCalibrate(program: Command, io: Io): void {
  program
    .command('calibrate')
    .summary('measure what this node can do')
    .description(
      'Measures reads, writes and mixes of three sizes on a scratch store beside that of this node, on ' +
        'the same disk, and remembers it: `shoal status` then shows the load of the node as a share of ' +
        'it. Takes about 20 seconds, and half of that with --quick. Clients of the node wait longer ' +
        'meanwhile. Ctrl-C calls it off.'
    )
    .option('--quick', 'half a second per size and mix, in place of two')
    .option('--force', 'even while clients use the node: both suffer')
    .addHelpText('after', examples('shoal calibrate', 'shoal calibrate --quick --json'))
    .action(async (options: CalibrateOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const { quick = false, force = false } = options
      const started = await client.post<Started>(PATH, { quick, force })
      for (const warning of started.warnings) io.err(`note: ${clean(warning)}\n`)
      const last = await untilEnded(io, client)
      report(io, json, last, () => calibrationText(last))
    })
}

async function untilEnded(io: Io, client: Client): Promise<CalibrationDocument> {
  const progress = new Progress(io, 'calibrate')
  let isInterrupted = false
  let wake: () => void = () => undefined
  const ignore = io.onInterrupt(() => {
    isInterrupted = true
    wake()
  })
  try {
    for (;;) {
      if (isInterrupted) await client.delete<object>(PATH)
      const { running, ended, last } = await client.get<CalibrationStateDocument>(PATH)
      if (running === undefined) return outcome(ended, last)
      const what = running.cell === 0 ? 'writing data' : `${running.cell} of ${running.of}`
      progress.showPart(Math.max(0, running.cell - 1) / running.of, what)
      await new Promise<void>(resolve => {
        wake = resolve
        setTimeout(resolve, LOOK_MS)
      })
    }
  } finally {
    ignore()
    progress.end()
  }
}

function outcome(
  ended: CalibrationStateDocument['ended'],
  last: CalibrationDocument | undefined
): CalibrationDocument {
  if (ended?.is === 'done' && last !== undefined) return last
  if (ended?.is === 'failed') {
    throw new ShoalError({ code: 'IO_ERROR' }, `the calibration failed: ${ended.why}`)
  }
  const before = last === undefined ? 'nothing is remembered' : 'the one before it stays in force'
  throw new ShoalError({ code: 'CLOSED' }, `the calibration was called off: ${before}`)
}

// -- words

function calibrationText(calibration: CalibrationDocument): string {
  const { cells, capacity, tookMs, coldReads } = calibration
  const rows = cells.map(cell => [
    size(cell.sizeBytes),
    mixText(cell.readPart),
    String(Math.round(cell.requestsPerSecond)),
    `${size(Math.round(cell.bytesPerSecond))}/s`
  ])
  const warm = 'note: the page cache could not be dropped here: reads may have come from memory'
  return [
    table(['SIZE', 'MIX', 'IOPS', 'THROUGHPUT'], rows),
    '',
    `capacity ${Math.round(capacity)} units/s (requests of 16 KiB, 70 % reads: ` +
      `${Math.round(capacity / 1.5)}/s), measured in ${durationText(tookMs)}`,
    ...(coldReads === false ? [warm] : [])
  ].join('\n')
}

function mixText(readPart: number): string {
  if (readPart === 1) return 'reads'
  if (readPart === 0) return 'writes'
  const percent = Math.round(readPart * 100)
  return `${percent}/${100 - percent}`
}
