//! A screen as a picture, with the colours a terminal would give it: light where the reader's page is light, else dark.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::super::text::width;

/// A cell, in pixels.
const CELL: (usize, usize) = (9, 19);

const STYLE: &str = "
text{font:15px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre;fill:#1f2328}
.paper{fill:#fff;stroke:#d0d7de}.block{fill:#1f2328}.b{font-weight:700}.d{fill-opacity:.6}.i{fill:#fff}
.green{fill:#116329}.red{fill:#cf222e}.magenta{fill:#8250df}.cyan{fill:#0b6e75}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117;stroke:#30363d}.block{fill:#e6edf3}
.i{fill:#0d1117}.green{fill:#3fb950}.red{fill:#ff7b72}.magenta{fill:#d2a8ff}.cyan{fill:#39c5cf}}
";

pub(super) fn of(screen: &Buffer) -> String {
    let (wide, high) =
        (usize::from(screen.area.width) * CELL.0 + 20, usize::from(screen.area.height) * CELL.1 + 20);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
        wide - 1,
        high - 1
    );
    for y in 0..screen.area.height {
        let top = usize::from(y) * CELL.1 + 10;
        let mut x = 0;
        while x < screen.area.width {
            let (start, class) = (x, class(&screen[(x, y)]));
            let mut run = String::new();
            while x < screen.area.width && self::class(&screen[(x, y)]) == class {
                let symbol = screen[(x, y)].symbol();
                run.push_str(symbol);
                x += u16::try_from(width(symbol).max(1)).unwrap();
                if width(symbol) > 1 {
                    // What follows a wide one is put where it belongs, whatever the font makes of it.
                    break;
                }
            }
            put(
                &mut svg,
                (usize::from(start) * CELL.0 + 10, top),
                usize::from(x - start) * CELL.0,
                &class,
                &run,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, (left, top): (usize, usize), length: usize, class: &str, run: &str) {
    if class.split(' ').any(|class| class == "i") {
        writeln!(
            svg,
            "<rect class=\"block\" x=\"{left}\" y=\"{top}\" width=\"{length}\" height=\"{}\"/>",
            CELL.1
        )
        .unwrap();
    } else if run.trim().is_empty() {
        return;
    }
    let text = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(
        svg,
        "<text class=\"{class}\" x=\"{left}\" y=\"{}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>",
        top + 15
    )
    .unwrap();
}

fn class(cell: &Cell) -> String {
    let inverse = cell.modifier.contains(Modifier::REVERSED);
    let colour = match cell.fg {
        // Reversed, the colour is the paper's; these stay readable as they are.
        _ if inverse => "i",
        Color::Green => "green",
        Color::Red => "red",
        Color::Magenta => "magenta",
        Color::Cyan => "cyan",
        _ => "",
    };
    let bold = if cell.modifier.contains(Modifier::BOLD) { "b" } else { "" };
    let dim = if cell.modifier.contains(Modifier::DIM) { "d" } else { "" };
    [colour, bold, dim].into_iter().filter(|class| !class.is_empty()).collect::<Vec<_>>().join(" ")
}
