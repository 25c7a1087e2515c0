/** How results and errors look: tables for people, one JSON document for programs. */
import { isFault, messageOf } from '../protocols/fault.ts'
import { formatSize } from '../protocols/layout/sizes.ts'
import type { Load } from '../protocols/node-status/messages.ts'
import type { Io } from './io.ts'

const MAX_LINE_CHARS = 2000

/** Columns are as wide as their widest cell; the last one is not padded. */
export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const all = [head, ...rows].map(row => row.map(clean))
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0)))
  return all
    .map(row => {
      return row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()
    })
    .join('\n')
}

/** Without control characters: what a node or a person named cannot move the cursor. */
export function clean(text: string): string {
  return [...text]
    .map(character => {
      const code = character.codePointAt(0) ?? 0
      return code < 0x20 || (code >= 0x7f && code < 0xa0) ? '?' : character
    })
    .join('')
}

/** The result: as JSON, or in words. */
export function report(io: Io, json: boolean, document: object, words: () => string): void {
  io.out(json ? JSON.stringify(document) : words())
}

export interface ErrorObject {
  readonly code: string
  readonly message: string
}

export function errorObject(error: unknown): ErrorObject {
  const message = messageOf(error)
  return { ...(isFault(error) ? error.fault : { code: 'INTERNAL' }), message }
}

/** One clear line on stderr; with --json the error object on stdout too. */
export function reportError(io: Io, json: boolean, error: ErrorObject): void {
  const lines = error.message.split('\n').map(line => clean(line).slice(0, MAX_LINE_CHARS))
  io.err(`shoal: ${lines.join('\n')}\n`)
  if (json) io.out(JSON.stringify({ error }))
}

export function size(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatSize(bytes)
}

/** `1200/s 30 MiB/s`, or `idle`. */
export function loadText(load: Load | undefined): string {
  if (load === undefined) return '-'
  const iops = load.readIops + load.writeIops
  const bytes = load.readBytesPerSecond + load.writtenBytesPerSecond
  return iops === 0 && bytes === 0 ? 'idle' : `${iops}/s ${formatSize(bytes)}/s`
}

export function dateText(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** How long something takes, in two units at most: `42 s`, `3 min`, `2 h 10 min`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

const THOUSANDS: ReadonlyArray<readonly [number, string]> = [
  [1e15, 'P'],
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k']
]
/** From here on no letter helps. */
const MAX_SHORT = 1e18

/** A number in about two digits and a letter: `0.05`, `7.5`, `340`, `1.2k`, `34M`. */
export function short(value: number): string {
  if (value < 0) return `-${short(-value)}`
  if (value >= MAX_SHORT) return value.toExponential(1).replace('+', '')
  if (value < 1) return String(Number(value.toPrecision(2)))
  // What rounds up to 1,000 is 1k: 999.7 of one unit is one of the next.
  const [unit, letter] = THOUSANDS.find(([least]) => value >= least * 0.9995) ?? [1, '']
  const scaled = value / unit
  return `${scaled < 9.95 ? Math.round(scaled * 10) / 10 : Math.round(scaled)}${letter}`
}

/** A part of one: `42 %`. */
export function percent(part: number): string {
  return `${Math.round(part * 100)} %`
}

/** True if the terminal, by its locale, shows more than ASCII. */
export function speaksUnicode(env: Io['env']): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find(
    value => value !== undefined && value !== ''
  )
  return /utf-?8/i.test(locale ?? '')
}
