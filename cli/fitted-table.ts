/**
 * A table that fits a width: the least important columns go first, then lines are cut. Numbers stand
 * to the right, so that they can be compared.
 *
 * Invariant: no line is longer than the width, and every row has its line.
 */
import { clean } from './output.ts'

export interface TableColumn {
  readonly head: string
  readonly cells: readonly string[]
  /** Of those that do not fit the one of the greatest rank goes first; 0 stays. */
  readonly rank: number
  readonly isText?: boolean
}

const GAP = '  '

/** The head and one line for each row. A column without any text is left out. */
export function fittedTable(columns: readonly TableColumn[], width: number): string[] {
  const filled = columns
    .filter(({ cells, rank }) => rank === 0 || cells.some(cell => cell !== ''))
    .map(column => ({ ...column, cells: [column.head, ...column.cells].map(clean) }))
  const shown = narrowed(filled, width)
  const rows = shown[0]?.cells.length ?? 0
  return Array.from({ length: rows }, (_, row) => {
    const line = shown.map(column => aligned(column, column.cells[row] ?? ''))
    return line.join(GAP).trimEnd().slice(0, width)
  })
}

function narrowed(columns: readonly TableColumn[], width: number): readonly TableColumn[] {
  if (total(columns) <= width) return columns
  const rank = Math.max(0, ...columns.map(column => column.rank))
  if (rank === 0) return columns
  const last = columns.findLastIndex(column => column.rank === rank)
  return narrowed(columns.toSpliced(last, 1), width)
}

function total(columns: readonly TableColumn[]): number {
  const gaps = GAP.length * (columns.length - 1)
  return gaps + columns.reduce((sum, column) => sum + widest(column), 0)
}

function widest({ cells }: TableColumn): number {
  return cells.reduce((most, cell) => Math.max(most, cell.length), 0)
}

function aligned(column: TableColumn, cell: string): string {
  const width = widest(column)
  return column.isText === true ? cell.padEnd(width) : cell.padStart(width)
}
