//! Where the processes of a cluster are.

use std::path::Path;

/// The processes' addresses, `host:port`, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads a file with a line for each process, or a list with commas. Lines that are empty or begin with `#` count
    /// nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line or number.
    pub fn read(argument: &str) -> Result<Self, Vec<String>> {
        let is_list = !Path::new(argument).exists() && argument.contains([':', ',']);
        let text = if is_list {
            argument.replace(',', "\n")
        } else {
            std::fs::read_to_string(argument).map_err(|why| {
                let what = "a file with one host:port a line, or such addresses with commas between them";
                vec![format!("--hosts {argument}: cannot be read: {why}: name {what}")]
            })?
        };
        let lines = text.lines().map(str::trim).zip(1_usize..);
        let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let (mut hosts, mut errors) = (Vec::<String>::new(), Vec::new());
        for (line, number) in lines {
            let wrong = match check(line) {
                Err(wrong) => Some(wrong),
                Ok(()) if hosts.iter().any(|host| host == line) => Some("is there twice"),
                Ok(()) => None,
            };
            let place = if is_list { format!("number {number}") } else { format!("line {number}") };
            errors.extend(wrong.map(|wrong| format!("--hosts {argument}: {place}: {line:?} {wrong}")));
            hosts.push(line.to_owned());
        }
        if hosts.is_empty() {
            errors.push(format!("--hosts {argument}: names no process: write one host:port a line"));
        }
        if errors.is_empty() { Ok(Hosts(hosts)) } else { Err(errors) }
    }

    /// How many processes there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The address of a process.
    pub fn of(&self, process: usize) -> &str {
        &self.0[process]
    }

    /// A process, for people.
    pub fn name(&self, process: usize) -> String {
        format!("process {process} ({})", self.0[process])
    }
}

fn check(address: &str) -> Result<(), &'static str> {
    let (host, port) = address.rsplit_once(':').ok_or("has no port: write host:port")?;
    match port.parse::<u16>() {
        _ if host.is_empty() => Err("has no host: write host:port"),
        Err(_) | Ok(0) => Err("has no port between 1 and 65535"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_file_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        std::fs::write(&file, "# two machines\none:2101\n\n  [::1]:2102  \n").unwrap();
        let hosts = Hosts::read(file.to_str().unwrap()).unwrap();
        assert_eq!(hosts, Hosts::read("one:2101, [::1]:2102").unwrap());
        assert_eq!((hosts.count(), hosts.name(1).as_str()), (2, "process 1 ([::1]:2102)"));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let errors = Hosts::read("one:2101,two,:5,three:0,one:2101").unwrap_err();
        let places = ["number 2: \"two\" has no port", "number 3", "number 4", "number 5: \"one:2101\" is there twice"];
        assert_eq!(errors.len(), places.len(), "{errors:?}");
        assert!(errors.iter().zip(places).all(|(error, place)| error.contains(place)), "{errors:?}");
        assert!(Hosts::read(",").unwrap_err()[0].contains("names no process"));
        assert!(Hosts::read("no-such-file").unwrap_err()[0].contains("cannot be read"));
    }
}
