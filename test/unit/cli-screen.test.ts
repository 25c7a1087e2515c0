// Goal: numbers are short and say what they are, tables fit, and a page is drawn exactly as it is, on
// a screen of any size.
// Method: the parts by themselves; the terminal in memory clears as xterm does.
import { describe, expect, it } from 'vitest'
import { fittedTable, type TableColumn } from '../../cli/fitted-table.ts'
import { FullScreen } from '../../cli/full-screen.ts'
import { percent, short, speaksUnicode } from '../../cli/output.ts'
import { MemoryScreen } from '../support/cli-screen.ts'

describe('a page', () => {
  it('shows full lines and a full screen whole, and cuts what does not fit', () => {
    const screen = new MemoryScreen(5, 3)
    const page = new FullScreen(screen)
    page.draw(['12345', '123456', '12345', 'below'])
    expect(screen.lines).toEqual(['12345', '12345', '12345'])
    page.draw(['1', '', '12345'])
    expect(screen.lines).toEqual(['1', '', '12345'])
    page.draw(['12345'])
    expect(screen.lines.join('')).toBe('12345')
    expect(screen).toMatchObject({ overflows: 0, isOther: true, isCursorShown: false })
    page.close()
    expect(screen).toMatchObject({ isOther: false, isCursorShown: true })
  })

  it('that was never drawn leaves the screen alone', () => {
    const screen = new MemoryScreen(5, 3)
    screen.isCursorShown = false
    new FullScreen(screen).close()
    expect(screen.isCursorShown).toBe(false)
  })
})

describe('a table', () => {
  const column = (head: string, rank: number, ...cells: string[]): TableColumn => {
    return { head, rank, cells }
  }
  const columns = [
    { ...column('NAME', 0, 'a', 'bcdef'), isText: true },
    column('X', 2, '1', '22'),
    column('EMPTY', 1, '', ''),
    column('Y', 1, '333', '4')
  ]

  it('aligns numbers to the right, leaves empty columns out, and drops the least important', () => {
    expect(fittedTable(columns, 80)).toEqual(['NAME    X    Y', 'a       1  333', 'bcdef  22    4'])
    expect(fittedTable(columns, 13)).toEqual(['NAME     Y', 'a      333', 'bcdef    4'])
    expect(fittedTable(columns, 9)).toEqual(['NAME', 'a', 'bcdef'])
    expect(fittedTable(columns, 3)).toEqual(['NAM', 'a', 'bcd'])
  })
})

describe('numbers', () => {
  it.each([
    [0, '0'],
    [-0, '0'],
    [0.00123, '0.0012'],
    [0.25, '0.25'],
    [0.999, '1'],
    [1, '1'],
    [7.46, '7.5'],
    [9.96, '10'],
    [340.4, '340'],
    [999.4, '999'],
    [999.7, '1k'],
    [1234, '1.2k'],
    [34_560_000, '35M'],
    [2e9, '2G'],
    [3e12, '3T'],
    [4e15, '4P'],
    [1.5e18, '1.5e18'],
    [-1234, '-1.2k']
  ])('%d is written %s', (value, text) => expect(short(value)).toBe(text))

  it('are parts of one in percent', () => {
    expect([0, 0.123, 1].map(percent)).toEqual(['0 %', '12 %', '100 %'])
  })
})

describe('a locale', () => {
  it('is UTF-8 if the first that is set says so', () => {
    expect(speaksUnicode({})).toBe(false)
    expect(speaksUnicode({ LANG: 'C.UTF-8' })).toBe(true)
    expect(speaksUnicode({ LC_ALL: '', LC_CTYPE: 'de_DE.utf8', LANG: 'C' })).toBe(true)
    expect(speaksUnicode({ LC_ALL: 'C', LANG: 'en_US.UTF-8' })).toBe(false)
  })
})
