/**
 * Sizes as people write them. K, M, G, T are binary: 1K is 1,024 bytes. One spelling is one number:
 * no exponents, signs, fractions or spaces, so that a typing error is an error and not another size.
 */
import { ShoalError } from '../fault.ts'
import { BLOCK_BYTES, GiB, KiB, MAX_VOLUME_BYTES, MiB, PiB, TiB } from '../limits.ts'

const SIZE = /^([0-9]{1,16})([kmgtp]?)(?:i?b)?$/i
const UNITS: Readonly<Record<string, number>> = { '': 1, k: KiB, m: MiB, g: GiB, t: TiB, p: PiB }
const NAMED: ReadonlyArray<readonly [number, string]> = [
  [PiB, 'PiB'],
  [TiB, 'TiB'],
  [GiB, 'GiB'],
  [MiB, 'MiB'],
  [KiB, 'KiB']
]

/** Bytes in `text`, a positive whole number of them; BAD_INPUT naming `field` otherwise. */
export function parseBytes(text: string, field: string): number {
  const match = SIZE.exec(text)
  const bytes = Number(match?.[1]) * (UNITS[(match?.[2] ?? '').toLowerCase()] ?? Number.NaN)
  if (match === null || !Number.isSafeInteger(bytes)) {
    throw badSize(field, `${field} must be a number of bytes, or one with K, M, G or T`)
  }
  if (bytes === 0) throw badSize(field, `${field} must be greater than 0`)
  return bytes
}

/** The size of a volume: a multiple of 4 KiB, at most 1 PiB. */
export function parseVolumeSize(text: string): number {
  const bytes = parseBytes(text, 'size')
  checkVolumeSize(bytes)
  return bytes
}

export function checkVolumeSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw badSize('size', 'size must be greater than 0')
  }
  if (bytes > MAX_VOLUME_BYTES) {
    throw badSize('size', `size must be at most ${formatSize(MAX_VOLUME_BYTES)}`)
  }
  if (bytes % BLOCK_BYTES !== 0) {
    const next = Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
    throw badSize('size', `size must be a multiple of 4 KiB; ${next} is the next one`)
  }
}

/** For people: at most one decimal, binary units: `20 GiB`, `1.5 MiB`, `512 B`. */
export function formatSize(bytes: number): string {
  for (const [unit, name] of NAMED) {
    if (bytes < unit) continue
    const value = Math.round((bytes / unit) * 10) / 10
    return `${value} ${name}`
  }
  return `${Math.round(bytes)} B`
}

function badSize(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, `${message}, for example 20G`)
}
