/** Options that several commands share, and how their values are read. */
import { homedir, hostname } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { BOUNDS } from '../protocols/balance/settings.ts'
import { ShoalError } from '../protocols/fault.ts'
import { parseBytes } from '../protocols/layout/sizes.ts'
import { MAX_NAME_CHARS } from '../protocols/limits.ts'
import { parseIsoTime } from '../protocols/load/iso-time.ts'
import { Client } from './client.ts'
import type { Io } from './io.ts'

export interface Common {
  readonly json: boolean
  /** Absolute. */
  readonly dir: string
  readonly client: Client
}

/** --json and --dir, wherever on the line they stood. */
export function commonOptions(command: Command, io: Io): Common {
  const options = command.optsWithGlobals<{ json?: boolean; dir?: string }>()
  const dir = resolve(options.dir ?? defaultDir(io))
  return { json: options.json === true, dir, client: new Client(dir) }
}

function defaultDir(io: Io): string {
  const fromEnvironment = io.env.SHOAL_DIR
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment
  return process.geteuid?.() === 0 ? '/var/lib/shoal' : join(homedir(), '.shoal')
}

/** This machine's name as a name of Shoal. */
export function hostName(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, MAX_NAME_CHARS)
  return name === '' ? 'localhost' : name
}

/** Bytes that a node may use; 0 for a gateway that holds no data. */
export function parseCapacity(text: string): number {
  return text === '0' ? 0 : parseBytes(text, 'capacity')
}

export function parseCount(text: string, field: string, example: number): number {
  if (/^[0-9]{1,9}$/.test(text) && Number(text) >= 1) return Number(text)
  throw badOption(field, `--${field} must be a whole number from 1 up, for example ${example}`)
}

/** Moves of an hour, of a node or a volume; 0 for none. */
export function parseMoves(text: string): number {
  const { max } = BOUNDS.movesPerHour
  if (/^[0-9]{1,4}$/.test(text) && Number(text) <= max) return Number(text)
  throw badOption(
    'moves-per-hour',
    `--moves-per-hour must be a whole number from 0 to ${max}, for example 12`
  )
}

/** Bytes per second, `50M`; null for `unlimited`. */
export function parseRate(text: string, field: string): number | null {
  return text === 'unlimited' ? null : parseBytes(text.replace(/\/s$/, ''), field)
}

/** Units per second, `2000`; null for `none`. The bounds are the node's. */
export function parseMaxLoad(text: string): number | null {
  if (text === 'none') return null
  return parseCount(text, 'max-load', 2000)
}

const DURATION = /^([0-9]{1,9})(ms|s|m|h|d)$/
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}

/** `30s`, `15m`, `24h`, `7d` as milliseconds. */
export function parseDuration(text: string, field: string): number {
  const match = DURATION.exec(text)
  const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ''] ?? Number.NaN)
  if (ms > 0) return ms
  throw badOption(field, `--${field} must be a number with ms, s, m, h or d, for example 24h`)
}

/** A duration with bounds, which are said as people write them. */
export function parseDurationWithin(
  text: string,
  field: string,
  { min, max }: { readonly min: string; readonly max: string }
): number {
  const ms = parseDuration(text, field)
  if (ms >= parseDuration(min, field) && ms <= parseDuration(max, field)) return ms
  throw badOption(field, `--${field} must be from ${min} to ${max}`)
}

/** `50%` as 0.5; 1% to 100%. */
export function parsePart(text: string, field: string): number {
  const match = /^([0-9]{1,3}(?:\.[0-9])?)%$/.exec(text)
  const percent = Number(match?.[1])
  if (percent >= 1 && percent <= 100) return percent / 100
  throw badOption(field, `--${field} must be from 1% to 100%, for example 50%`)
}

/** Names with commas between; none twice. */
export function parseList(text: string, field: string, example: string): readonly string[] {
  const names = text.split(',').map(name => name.trim())
  if (!names.includes('')) return [...new Set(names)]
  throw badOption(field, `--${field} must be names with commas between, for example ${example}`)
}

/** An instant: so long ago (`7d`), or ISO 8601; a date alone is its midnight in UTC. */
export function parseMoment(text: string, field: string, nowMs: number): number {
  if (DURATION.test(text)) return nowMs - parseDuration(text, field)
  const time = parseIsoTime(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text)
  if (time !== undefined) return time
  throw badOption(
    field,
    `--${field} must be how long ago, for example 7d, or a time, for example 2026-01-02T03:04:05Z`
  )
}

/** One of a few words. */
export function parseWord<T extends string>(text: string, field: string, words: readonly T[]): T {
  const found = words.find(word => word === text)
  if (found !== undefined) return found
  throw badOption(field, `--${field} must be one of ${words.join(', ')}`)
}

export function badOption(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message)
}

/** Several values of one option, as commander collects them. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
