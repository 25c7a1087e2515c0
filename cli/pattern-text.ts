/** Patterns of load as people write and read them. */
import type { DeclaredPattern, PatternEntry } from '../crdt/types.ts'
import type { PatternDocument } from '../node/control/load-documents.ts'
import { printable } from '../node/volumes/names.ts'
import { checkPattern } from '../node/volumes/patterns.ts'
import { parseBytes } from '../protocols/layout/sizes.ts'
import { badOption, parseDuration } from './options.ts'
import { size } from './output.ts'

export interface PatternAmounts {
  readonly for: string
  readonly iops?: string | undefined
  readonly throughput?: string | undefined
}

const MINUTE_MS = 60_000
const PATTERN = /^(\S+\s+\S+)\s+for\s+(\S+)((?:\s+\+\S+){1,2})$/

/** `mon-fri 02:00 for 40m +3000`, with `+100M/s` beside or in place of the requests. */
export function parsePattern(text: string): DeclaredPattern {
  const match = PATTERN.exec(text.trim())
  const amounts = (match?.[3] ?? '').trim().split(/\s+/)
  const isRate = (amount: string) => amount.endsWith('/s')
  const throughput = amounts.filter(isRate)
  const iops = amounts.filter(amount => !isRate(amount))
  if (match === null || throughput.length > 1 || iops.length > 1) {
    throw badOption(
      'pattern',
      `--pattern ${printable(text)} must be like "mon-fri 02:00 for 40m +3000", or with +100M/s`
    )
  }
  const [, when = '', lasts = ''] = match
  const wish = { for: lasts, iops: iops[0], throughput: throughput[0] }
  const { id: _id, ...pattern }: PatternEntry = checkPattern({ when, ...amountsOf(wish) })
  return pattern
}

export function amountsOf(options: PatternAmounts): Omit<DeclaredPattern, 'when'> {
  const { iops, throughput } = options
  return {
    minutes: parseDuration(options.for, 'for') / MINUTE_MS,
    iops: iops === undefined ? 0 : parseIops(iops),
    bytesPerSecond: throughput === undefined ? 0 : parseThroughput(throughput)
  }
}

function parseIops(text: string): number {
  const match = /^\+?([0-9]{1,10})$/.exec(text)
  if (match !== null && Number(match[1]) > 0) return Number(match[1])
  throw badOption('iops', `--iops ${printable(text)} must be a whole number, for example +3000`)
}

function parseThroughput(text: string): number {
  return parseBytes(text.replace(/^\+/, '').replace(/\/s$/, ''), 'throughput')
}

/** `mon-fri 02:00 for 40 min, +3000/s`. */
export function patternText(pattern: PatternDocument): string {
  return `${pattern.when} for ${pattern.minutes} min, ${amountText(pattern)}`
}

function amountText({ iops, bytesPerSecond }: PatternDocument): string {
  const parts = [
    ...(iops === 0 ? [] : [`+${iops}/s`]),
    ...(bytesPerSecond === 0 ? [] : [`+${size(bytesPerSecond)}/s`])
  ]
  return parts.join(' ')
}
