/** `shoal load export` and `import`: load as CSV, out of the mesh and into it. */
import type { Command } from 'commander'
import type { ImportDocument } from '../node/control/load-documents.ts'
import { formatIsoTime } from '../protocols/load/iso-time.ts'
import type { Io } from './io.ts'
import { MINUTES_KEPT_MS } from './limits.ts'
import { copyOut, saveAs } from './load-export.ts'
import { checkFile, sendFile } from './load-import.ts'
import { badOption, commonOptions, parseMoment, parseWord } from './options.ts'
import { plural, report, size, table } from './output.ts'
import { checkVolume, examples } from './shared.ts'

const STEPS = ['1s', '1m', '1h'] as const

export function addLoadCommands(load: Command, io: Io): void {
  addExport(load, io)
  addImport(load, io)
}

interface ExportOptions {
  readonly since: string
  readonly until?: string
  readonly step?: string
  readonly volume?: string
  readonly out?: string
}

function addExport(load: Command, io: Io): void {
  load
    .command('export')
    .summary('write the load of shards as CSV')
    .description(
      'Writes what was measured as CSV, one row for a shard and a step, times in UTC. Seconds are kept ' +
        'for 15 minutes, minutes for 14 days, hours for two years. With --out the file is complete ' +
        'or not there at all; one that exists is replaced.'
    )
    .option('--since <time>', 'how long ago, or a time: 2026-01-02T03:04:05Z', '7d')
    .option('--until <time>', 'the same (default: now)')
    .option('--step <step>', `${STEPS.join(', ')} (default: 1m; 1h for more than 14 days back)`)
    .option('--volume <volume>', 'only this one, by name or id')
    .option('--out <file>', 'instead of stdout')
    .addHelpText(
      'after',
      examples(
        'shoal load export --since 7d > load.csv',
        'shoal load export --volume web --since 10m --step 1s',
        'shoal load export --since 2026-01-01 --until 2026-02-01 --step 1h --out january.csv'
      )
    )
    .action(async (options: ExportOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const { out } = options
      if (json && out === undefined) {
        throw badOption('out', '--json prints a summary: name the file for the CSV with --out')
      }
      const span = spanOf(options, Date.now())
      const path = `/v1/load/export?${queryOf(span, options)}`
      const read = (signal: AbortSignal) => client.download(path, signal)
      if (out === undefined) {
        await copyOut(io, read)
        return
      }
      const saved = await saveAs(io, out, read)
      report(io, json, { ...saved, ...span }, () => {
        const words = `${plural(saved.rows, 'row')}, ${size(saved.bytes)}`
        return `${saved.path}: ${words}, ${spanText(span.sinceMs, span.untilMs)}`
      })
    })
}

interface Span {
  readonly sinceMs: number
  readonly untilMs: number
  readonly step: (typeof STEPS)[number]
}

function spanOf({ since, until, step }: ExportOptions, nowMs: number): Span {
  const sinceMs = parseMoment(since, 'since', nowMs)
  const untilMs = until === undefined ? nowMs : parseMoment(until, 'until', nowMs)
  if (sinceMs >= untilMs) throw badOption('since', '--since must be before --until, and before now')
  const usual = sinceMs < nowMs - MINUTES_KEPT_MS ? '1h' : '1m'
  return {
    sinceMs: Math.max(0, sinceMs),
    untilMs,
    step: step === undefined ? usual : parseWord(step, 'step', STEPS)
  }
}

function queryOf({ sinceMs, untilMs, step }: Span, { volume }: ExportOptions): URLSearchParams {
  return new URLSearchParams({
    sinceMs: String(sinceMs),
    untilMs: String(untilMs),
    step,
    ...(volume === undefined ? {} : { volume: checkVolume(volume) })
  })
}

interface ImportOptions {
  readonly volume?: string
  readonly dryRun?: boolean
}

function addImport(load: Command, io: Io): void {
  load
    .command('import')
    .summary('give volumes the load of an earlier life, from CSV')
    .description(
      'Reads a CSV as `shoal load export` writes it, or one with only some of its columns: time, reads, ' +
        'writes and volume at least, what is missing is 0. All of it is checked before any of it is ' +
        'sent. A time without an offset is UTC.'
    )
    .argument('<file>', 'a CSV file')
    .option('--volume <volume>', 'the volume that all rows are of, whatever the file calls it')
    .option('--dry-run', 'check the file and say what is in it; nothing is sent')
    .addHelpText(
      'after',
      examples(
        'shoal load import load.csv --dry-run',
        'shoal load import load.csv',
        'shoal load import old-web.csv --volume web'
      )
    )
    .action(async (file: string, options: ImportOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const volume = options.volume === undefined ? undefined : checkVolume(options.volume)
      const checked = await checkFile(file, volume)
      if (options.dryRun === true) {
        report(io, json, { dryRun: true, ...checked }, () => dryText(checked))
        return
      }
      const done = await sendFile(io, client, { file, volume })
      report(io, json, done, () => doneText(done))
    })
}

// -- words

function dryText({ volumes }: ImportDocument): string {
  const rows = volumes.map(one => [one.volume, String(one.rows), spanText(one.from, one.to)])
  return `${table(['VOLUME', 'ROWS', 'TIMES'], rows)}\nnothing was sent`
}

function doneText({ volumes }: ImportDocument): string {
  const rows = volumes.map(one => [
    one.volume,
    String(one.taken),
    String(one.rows - one.taken),
    spanText(one.from, one.to),
    one.why ?? ''
  ])
  return table(['VOLUME', 'TAKEN', 'LEFT OUT', 'TIMES', 'WHY'], rows)
}

function spanText(fromMs: number, toMs: number): string {
  return `${formatIsoTime(fromMs)} to ${formatIsoTime(toMs)}`
}
