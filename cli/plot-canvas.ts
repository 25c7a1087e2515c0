/**
 * A grid of characters with dots in them: eight dots a cell in braille, one in ASCII. Rows and dots
 * count from the bottom, as values do.
 *
 * Invariant: places outside the grid are moved to its edge; nothing grows.
 */
const BRAILLE = 0x2800
/** Bits of the left and the right column of a cell, from the bottom up. */
const BITS = [
  [0x40, 0x04, 0x02, 0x01],
  [0x80, 0x20, 0x10, 0x08]
]

export interface Grid {
  readonly rows: number
  /** Of one cell. */
  readonly dotsUp: number
}

/** Dots of one cell. */
export function dotsOf(ascii: boolean): { readonly across: number; readonly up: number } {
  return ascii ? { across: 1, up: 1 } : { across: 2, up: 4 }
}

export class Canvas implements Grid {
  readonly columns: number
  readonly rows: number
  readonly dotsAcross: number
  readonly dotsUp: number
  readonly #cells: string[]
  readonly #dots: Uint8Array
  readonly #ascii: boolean

  constructor(columns: number, rows: number, ascii: boolean) {
    this.columns = columns
    this.rows = rows
    const { across, up } = dotsOf(ascii)
    this.dotsAcross = across
    this.dotsUp = up
    this.#ascii = ascii
    this.#cells = new Array<string>(columns * rows).fill(' ')
    this.#dots = new Uint8Array(columns * rows)
  }

  put(column: number, row: number, character: string): void {
    this.#cells[this.#index(column, row)] = character
  }

  /** `mark`: what a dot is in ASCII. */
  dot(x: number, y: number, mark: string): void {
    const column = Math.floor(x / this.dotsAcross)
    const row = Math.floor(y / this.dotsUp)
    if (this.#ascii) {
      this.put(column, row, mark)
      return
    }
    const index = this.#index(column, row)
    const bit = BITS[x % this.dotsAcross]?.[y % this.dotsUp] ?? 0
    this.#dots[index] = (this.#dots[index] ?? 0) | bit
  }

  /** From the top down; dots hide what was put in their cell. */
  lines(): string[] {
    return Array.from({ length: this.rows }, (_, line) => {
      const from = (this.rows - 1 - line) * this.columns
      const cells = this.#cells.slice(from, from + this.columns)
      return cells.map((cell, column) => this.#shown(cell, this.#dots[from + column] ?? 0)).join('')
    })
  }

  #shown(cell: string, dots: number): string {
    return dots === 0 ? cell : String.fromCharCode(BRAILLE + dots)
  }

  #index(column: number, row: number): number {
    const x = Math.max(0, Math.min(this.columns - 1, column))
    return Math.max(0, Math.min(this.rows - 1, row)) * this.columns + x
  }
}
