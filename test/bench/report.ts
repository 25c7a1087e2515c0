/** What every bench prints and writes: one table, and one JSON file of the same shape. */
import { writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { runOk } from '../support/process-spawn.ts'

export interface BenchOptions {
  readonly quick: boolean
  readonly json: string | undefined
  readonly seed: number
  /** The folder of real load data, for the benches that need it. */
  readonly data: string | undefined
}

export interface BenchResult {
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly ratios: Readonly<Record<string, number>>
  readonly summary: Readonly<Record<string, unknown>>
  readonly seed: number
  readonly versions: Readonly<Record<string, string>>
}

export function writeResult(result: BenchResult, file: string | undefined): void {
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`)
}

/** Columns padded to their widest cell; the first to the left, the others to the right. */
export function printTable(head: readonly string[], rows: ReadonlyArray<readonly string[]>): void {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0))
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
      )
      .join('  ')
      .trimEnd()
  console.log(line(head))
  console.log(widths.map(width => '-'.repeat(width)).join('  '))
  for (const row of rows) console.log(line(row))
}

export async function versionsOf(tools: readonly string[]): Promise<Record<string, string>> {
  const versions: Record<string, string> = {
    node: process.version,
    linux: release(),
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`
  }
  for (const tool of tools) {
    versions[tool] = (await runOk(tool, ['--version'])).split('\n')[0]?.trim() ?? ''
  }
  return versions
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
