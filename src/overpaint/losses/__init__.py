"""The papers' formulas, and how a finished picture is judged. Features come from `encoder`."""
