// Goal: a size that a person types is exactly one number of bytes, or an error that says what to type.
// Method: the spellings of the documentation, and everything that looks like a number but is not a size.
import { describe, expect, it } from 'vitest'
import { isFault } from '../../protocols/fault.ts'
import { formatSize, parseBytes, parseVolumeSize } from '../../protocols/layout/sizes.ts'
import { GiB, KiB, MAX_VOLUME_BYTES, MiB, TiB } from '../../protocols/limits.ts'

describe('sizes', () => {
  it.each([
    ['4096', 4096],
    ['20G', 20 * GiB],
    ['20g', 20 * GiB],
    ['64K', 64 * KiB],
    ['64KiB', 64 * KiB],
    ['64kb', 64 * KiB],
    ['1M', MiB],
    ['3T', 3 * TiB],
    ['1P', MAX_VOLUME_BYTES]
  ])('reads %s as %d bytes', (text, bytes) => {
    expect(parseVolumeSize(text)).toBe(bytes)
  })

  it.each([
    '',
    ' ',
    '0',
    '0G',
    '-1',
    '-20G',
    '+4096',
    '1e3',
    '1.5G',
    '4096.0',
    '0x1000',
    '4097',
    '1K',
    '9223372036854775808',
    '99999999999999999999999',
    '2P',
    '20 G',
    '20GG',
    '20X',
    'G',
    'NaN',
    'Infinity',
    '４０９６',
    '4096\n',
    '__proto__',
    '1constructor',
    '9'.repeat(5000)
  ])('refuses %j', text => {
    const attempt = () => parseVolumeSize(text)
    expect(attempt).toThrow(/size must be/)
    try {
      attempt()
    } catch (error) {
      expect(isFault(error, 'BAD_INPUT')).toBe(true)
    }
  })

  it('names the next multiple of 4 KiB when a size is none', () => {
    expect(() => parseVolumeSize('4097')).toThrow('8192 is the next one')
  })

  it('names the field that it read', () => {
    expect(() => parseBytes('x', 'capacity')).toThrow(/^capacity must be/)
  })

  it('writes sizes with at most one decimal', () => {
    expect([512, 4096, 1.5 * MiB, 20 * GiB, 1023.96 * MiB].map(formatSize)).toEqual([
      '512 B',
      '4 KiB',
      '1.5 MiB',
      '20 GiB',
      '1024 MiB'
    ])
  })
})
