/** The signs of a plot. In Unicode its lines are braille dots, which need none. */
export interface Marks {
  readonly past: string
  readonly expected: string
  readonly dark: string
  readonly light: string
  readonly threshold: string
  readonly now: string
  readonly axis: string
  readonly axisTick: string
  readonly corner: string
  readonly rule: string
  readonly ruleTick: string
  readonly ruleNow: string
}

const UNICODE: Marks = {
  past: '',
  expected: '',
  dark: '▒',
  light: '░',
  threshold: '╌',
  now: '│',
  axis: '│',
  axisTick: '┤',
  corner: '└',
  rule: '─',
  ruleTick: '┬',
  ruleNow: '┴'
}
const ASCII: Marks = {
  past: '*',
  expected: 'o',
  dark: ':',
  light: '.',
  threshold: '-',
  now: '|',
  axis: '|',
  axisTick: '+',
  corner: '+',
  rule: '-',
  ruleTick: '+',
  ruleNow: '+'
}

export function marksOf(ascii: boolean): Marks {
  return ascii ? ASCII : UNICODE
}
